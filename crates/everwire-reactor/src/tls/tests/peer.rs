//! Whom each side accepts: chains, names, client certificates, reloading, resumption.

use rcgen::{CustomExtension, ExtendedKeyUsagePurpose, PKCS_ECDSA_P384_SHA384, date_time_ymd};

use super::super::x509::Certificate;
use super::*;

/// What the two sides say about a handshake: (client, server).
fn outcome(server: &ServerContext, client: &ClientContext, name: &str) -> (Option<Failure>, Option<Failure>) {
    Pair::named(server, client, name).settle()
}

fn refused_by_client(server: &ServerContext, client: &ClientContext, name: &str, part: &str) {
    for piece in [usize::MAX, 1] {
        let (client, server) = Pair::named(server, client, name).in_pieces(piece).settle();
        let client = client.expect("the client refuses");
        assert_eq!(client.fault, Fault::Peer);
        assert!(client.text.contains(part), "{client}");
        let server = server.expect("the server is told by an alert");
        assert_eq!(server.fault, Fault::Peer);
        assert!(server.text.contains("alert"), "{server}");
    }
}

#[test]
fn only_named_authorities_are_trusted() {
    let (ours, other) = (Authority::new(), Authority::new());
    let server = ours.issue("localhost").server();
    for client in [ClientContext::new(other.trust()).unwrap(), old_client(&other.trust())] {
        refused_by_client(&server, &client, "localhost", "nobody trusted");
    }
    let twins = [Authority::named("twin"), Authority::named("twin")];
    let client = ClientContext::new(twins[0].trust()).unwrap();
    refused_by_client(&twins[1].issue("localhost").server(), &client, "localhost", "has another key");

    let both = Trust::Pem([ours.pem, other.pem].concat());
    let client = ClientContext::new(ClientOptions { trust: both, ..ClientOptions::default() }).unwrap();
    assert_eq!(outcome(&server, &client, "localhost"), (None, None));
}

#[test]
fn the_name_must_match_unless_that_is_turned_off() {
    let authority = Authority::new();
    let client = ClientContext::new(authority.trust()).unwrap();
    let careless = ClientContext::new(ClientOptions { check_hostname: false, ..authority.trust() }).unwrap();
    let server = authority.issue("localhost").server();
    refused_by_client(&server, &client, "example.com", "another name");
    refused_by_client(&server, &client, "127.0.0.1", "another name");
    assert_eq!(outcome(&server, &careless, "example.com"), (None, None));

    for address in ["127.0.0.1", "::1"] {
        let server = authority.issue(address).server();
        let mut pair = Pair::named(&server, &client, address);
        assert_eq!(pair.settle(), (None, None));
        assert_eq!(pair.server.server_name(), None, "addresses are not sent");
    }
    for name in ["", "a b", "ü.example", "[::1]", "host:443"] {
        let failure = Session::client(&client, name).err().unwrap();
        assert_eq!(failure.fault, Fault::Usage, "{name}");
    }
}

#[test]
fn a_certificate_that_is_itself_trusted_is_accepted() {
    let stranger = Authority::new().issue("localhost");
    let plain = Identity::self_signed(|params| params.is_ca = IsCa::ExplicitNoCa);
    let authority = Identity::self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let silent = Identity::self_signed(|_| ());
    let kinds = [(stranger, false), (plain, false), (authority, true), (silent, false)];
    for (identity, is_authority) in kinds {
        let server = identity.server();
        let options = ClientOptions { trust: Trust::Pem(identity.certificate), ..ClientOptions::default() };
        let client = ClientContext::new(options.clone()).unwrap();
        assert_eq!(outcome(&server, &client, "localhost"), (None, None));
        let old = old_client(&options);
        assert_eq!(outcome(&server, &old, "localhost"), (None, None));
        refused_by_client(&server, &client, "example.com", "another name");
        let careless = ClientContext::new(ClientOptions { check_hostname: false, ..options }).unwrap();
        assert_eq!(outcome(&server, &careless, "example.com"), (None, None));
        // Without being named it is refused, and told apart where that would help.
        let stranger = ClientContext::new(Authority::new().trust()).unwrap();
        let part = if is_authority { "trust exactly this certificate" } else { "nobody trusted" };
        refused_by_client(&server, &stranger, "localhost", part);
        // The match is exact: the same name and kind of certificate with another key is another one.
        let twin = Identity::self_signed(|params| params.is_ca = IsCa::ExplicitNoCa);
        let (refused, _) = outcome(&twin.server(), &client, "localhost");
        assert_eq!(refused.unwrap().fault, Fault::Peer);
    }
}

#[test]
fn naming_a_certificate_does_not_excuse_its_dates_or_purpose() {
    let trusting = |identity: &Identity| {
        let trust = Trust::Pem(identity.certificate.clone());
        ClientContext::new(ClientOptions { trust, ..ClientOptions::default() }).unwrap()
    };
    for is_ca in [IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let expired = Identity::self_signed(|params| {
            params.is_ca = is_ca;
            params.not_after = date_time_ymd(2020, 1, 1);
        });
        refused_by_client(&expired.server(), &trusting(&expired), "localhost", "not valid today");
        let future = Identity::self_signed(|params| {
            params.is_ca = is_ca;
            params.not_before = date_time_ymd(2999, 1, 1);
        });
        refused_by_client(&future.server(), &trusting(&future), "localhost", "not valid today");
    }
    let other = Identity::self_signed(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    refused_by_client(&other.server(), &trusting(&other), "localhost", "not issued for this use");
}

#[test]
fn trusting_nothing_in_particular_accepts_everybody() {
    let options = ClientOptions { trust: Trust::Nothing, ..ClientOptions::default() };
    let client = ClientContext::new(options).unwrap();
    let expired = Identity::self_signed(|params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_eq!(outcome(&expired.server(), &client, "example.com"), (None, None));
}

/// A certificate with an extension that nobody knows, and that must be known.
fn critical(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    Identity::self_signed(|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
        change(params);
    })
}

#[test]
fn what_webpki_does_not_read_is_taken_by_whoever_trusts_anybody_or_named_it() {
    let identity = critical(|_| ());
    let server = careless_server(&identity.certificate, &identity.key);
    let trusting =
        |trust: Trust, check_hostname: bool| ClientOptions { trust, check_hostname, ..ClientOptions::default() };
    let named = || Trust::Pem(identity.certificate.clone());
    for options in [trusting(Trust::Nothing, true), trusting(named(), false)] {
        let client = ClientContext::new(options.clone()).unwrap();
        assert_eq!(outcome(&server, &client, "localhost"), (None, None));
        let old = old_client(&options);
        assert_eq!(outcome(&server, &old, "localhost"), (None, None));
    }
    // Its name cannot be checked, so who asks for that is told.
    let client = ClientContext::new(trusting(named(), true)).unwrap();
    refused_by_client(&server, &client, "localhost", "check_hostname");
    let stranger = ClientContext::new(trusting(Trust::Pem(Authority::new().pem), false)).unwrap();
    refused_by_client(&server, &stranger, "localhost", "trust exactly this certificate");
    for (other, part) in [
        (critical(|params| params.not_after = date_time_ymd(2020, 1, 1)), "not valid today"),
        (critical(|params| params.not_before = date_time_ymd(2999, 1, 1)), "not valid today"),
    ] {
        let client = ClientContext::new(trusting(Trust::Pem(other.certificate.clone()), false)).unwrap();
        refused_by_client(&careless_server(&other.certificate, &other.key), &client, "localhost", part);
    }
}

#[test]
fn whoever_is_trusted_still_has_to_prove_that_it_has_the_key() {
    // The same certificate, and somebody else's key: as a machine on the path would have it.
    let (identity, other) = (critical(|_| ()), Identity::self_signed(|_| ()));
    for (trust, check_hostname) in [(Trust::Nothing, true), (Trust::Pem(identity.certificate.clone()), false)] {
        let options = ClientOptions { trust, check_hostname, ..ClientOptions::default() };
        for client in [ClientContext::new(options.clone()).unwrap(), old_client(&options)] {
            let server = careless_server(&identity.certificate, &other.key);
            let (client, _) = outcome(&server, &client, "localhost");
            assert!(client.unwrap().text.contains("does not have this certificate's key"));
        }
    }
}

#[test]
fn keys_of_both_curves_are_known_in_both_versions() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let identity = Identity { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() };
    let options = ClientOptions { trust: Trust::Pem(identity.certificate.clone()), ..ClientOptions::default() };
    for client in [ClientContext::new(options.clone()).unwrap(), old_client(&options)] {
        assert_eq!(outcome(&identity.server(), &client, "localhost"), (None, None));
    }
}

#[test]
fn no_cut_or_flipped_certificate_panics() {
    let der = CertificateDer::from_pem_slice(&critical(|_| ()).certificate).unwrap();
    Certificate::parse(&der).unwrap();
    for end in 0..der.len() {
        assert!(Certificate::parse(&der[..end]).is_err());
    }
    for (index, bit) in (0..der.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
        let mut flipped = der.to_vec();
        flipped[index] ^= 1 << bit;
        let _ = Certificate::parse(&flipped).map(|certificate| certificate.rsa_bits());
    }
}

#[test]
fn client_certificates_are_required_optional_or_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = authority.issue("localhost");
    let required = ServerOptions { client_ca: Some(authority.pem.clone()), ..identity.options() };
    let optional = ServerOptions { client_optional: true, ..required.clone() };
    let (required, optional) = (ServerContext::new(required).unwrap(), ServerContext::new(optional).unwrap());
    let client = |identity: Option<Identity>| {
        let (certificate, key) = identity.map(|it| (it.certificate, it.key)).unzip();
        ClientContext::new(ClientOptions { certificate, key, ..authority.trust() }).unwrap()
    };
    let known = client(Some(authority.issue("somebody")));
    let unknown = client(Some(other.issue("somebody")));
    let silent = client(None);

    for server in [&required, &optional] {
        let pair = Pair::new(server, &known).connected();
        assert!(pair.server.peer_certificate().is_some());
    }
    let pair = Pair::new(&optional, &silent).connected();
    assert!(pair.server.peer_certificate().is_none());

    for (server, client, ours, theirs) in [
        (&required, &silent, "sent no certificate", "requires a certificate from us"),
        (&required, &unknown, "nobody trusted", "does not accept our certificate"),
        (&optional, &unknown, "nobody trusted", "does not accept our certificate"),
    ] {
        let (client, server) = outcome(server, client, "localhost");
        let (client, server) = (client.unwrap(), server.unwrap());
        assert_eq!((client.fault, server.fault), (Fault::Peer, Fault::Peer));
        assert!(server.text.contains(ours), "{server}");
        assert!(client.text.contains(theirs), "{client}");
    }
}

#[test]
fn another_application_protocol_is_refused() {
    let authority = Authority::new();
    let server = authority.issue("localhost").server();
    let options = ClientOptions { alpn: vec![b"h2".to_vec()], ..authority.trust() };
    let (client, server) = outcome(&server, &ClientContext::new(options).unwrap(), "localhost");
    assert!(server.unwrap().text.contains("ALPN"));
    assert!(client.unwrap().text.contains("ALPN"));
}

#[test]
fn reload_changes_new_handshakes_and_leaves_open_connections() {
    let (before, after) = (Authority::new(), Authority::new());
    let server = before.issue("localhost").server();
    let old = ClientContext::new(before.trust()).unwrap();
    let new = ClientContext::new(after.trust()).unwrap();
    let mut open = Pair::new(&server, &old).connected();
    let begun = Pair::new(&server, &old);

    let broken = ServerOptions { key: Vec::new(), ..after.issue("localhost").options() };
    assert_eq!(server.reload(broken).unwrap_err().fault, Fault::Configuration);
    Pair::new(&server, &old).connected();

    server.reload(after.issue("localhost").options()).unwrap();
    Pair::new(&server, &new).connected();
    assert!(outcome(&server, &old, "localhost").0.is_some(), "tickets do not outlive a reload");
    begun.connected();
    open.server.encrypt(b"still here").unwrap();
    let wire = take(&mut open.server);
    assert_eq!(deliver(&mut open.client, &wire, 1).unwrap(), b"still here");
}

#[test]
fn a_second_session_is_resumed() {
    let authority = Authority::new();
    let server = authority.issue("localhost").server();
    for client in [ClientContext::new(authority.trust()).unwrap(), old_client(&authority.trust())] {
        let mut flights = [0; 2];
        for flight in &mut flights {
            let mut pair = Pair::new(&server, &client);
            let hello = take(&mut pair.client);
            deliver(&mut pair.server, &hello, usize::MAX).unwrap();
            *flight = pair.server.outgoing().len();
            let pair = pair.connected();
            assert!(pair.client.peer_certificate().is_some(), "known again");
            assert_eq!(pair.server.server_name(), Some("localhost"));
        }
        assert!(flights[1] + 200 < flights[0], "no certificate is sent again: {flights:?}");
    }
}
