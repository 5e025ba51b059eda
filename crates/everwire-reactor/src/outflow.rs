//! What the kernel knows of written bytes (Linux: `TCP_INFO`, tcp(7)). One of the files with `unsafe`.

use std::os::fd::RawFd;

use crate::source::Outflow;

/// Asks the kernel about a TCP socket; `None` for other sockets, other systems, and Linux before 5.4.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn of(fd: RawFd) -> Option<Outflow> {
    use std::mem::{MaybeUninit, offset_of};

    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let place = info.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `length` bytes, which is the size of `info`, and says in `length` how many it wrote.
    let result = unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut length) };
    let needed = offset_of!(libc::tcp_info, tcpi_snd_wnd) + size_of::<u32>();
    if result != 0 || (length as usize) < needed {
        return None;
    }
    // SAFETY: all fields are integers, for which the zeros that were there before are values, too.
    let info = unsafe { info.assume_init() };
    Some(Outflow {
        arrived: info.tcpi_bytes_acked,
        is_pending: info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0,
        window: info.tcpi_snd_wnd,
    })
}

/// Nothing is known elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn of(_fd: RawFd) -> Option<Outflow> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        (near, listener.accept().expect("it connects").0)
    }

    #[test]
    fn bytes_arrive_and_the_window_tells_whether_they_were_read() {
        let (mut near, mut far) = pair();
        near.set_nonblocking(true).expect("a socket");
        let fd = near.as_raw_fd();
        let settled = |what: &str, check: &dyn Fn(Outflow) -> bool| {
            let began = std::time::Instant::now();
            loop {
                let now = of(fd).expect("TCP");
                if check(now) {
                    return now;
                }
                assert!(began.elapsed().as_secs() < 5, "{what}: {now:?}");
            }
        };
        let fresh = settled("quiet", &|now| !now.is_pending);
        while near.write(&[1; 65_536]).is_ok() {}
        let stuck = settled("full", &|now| now.is_pending && now.window < fresh.window);
        assert!(stuck.arrived > fresh.arrived, "{stuck:?} after {fresh:?}");
        far.read_exact(&mut [0; 1 << 20]).expect("they came");
        settled("read", &|now| now.arrived > stuck.arrived);
    }

    #[test]
    fn other_sockets_tell_nothing() {
        let (near, _far) = UnixStream::pair().expect("descriptors");
        assert_eq!(of(near.as_raw_fd()), None);
    }
}
