//! What a listener or connection is made with, from keyword arguments.

use std::sync::Arc;
use std::time::Duration;

use everwire_reactor::limits::{Deadlines, Limits};
use everwire_reactor::{Origins, Overflow, Tls};
use everwire_wire::handshake::{Origin, forwarded};
use everwire_wire::{Role, deflate};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors;
use crate::inbox::Marks;
use crate::tls::ServerTLS;

/// Settings of the engine; made once per listener or connection, never changed.
#[pyclass(frozen, module = "everwire._core")]
pub struct Settings {
    pub settings: Arc<everwire_reactor::Settings>,
    pub marks: Marks,
}

#[pymethods]
impl Settings {
    #[new]
    #[pyo3(signature = (options))]
    fn new(options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let options = Options(options);
        let limits = options.limits()?;
        let (high, low) =
            options.get::<(u64, u64)>("queue")?.unwrap_or((limits.queue_messages, limits.queue_messages / 4));
        let marks = Marks { high: high.max(1) as usize, low: low as usize, bytes: limits.queue_bytes as usize };
        let tls = match options.get::<Py<ServerTLS>>("tls")? {
            Some(tls) => Tls::Core(Arc::clone(&tls.get().context)),
            None if options.get("has_driver")?.unwrap_or(false) => Tls::Driver,
            None => Tls::None,
        };
        let settings = everwire_reactor::Settings {
            role: if options.get("is_server")?.unwrap_or(false) { Role::Server } else { Role::Client },
            limits,
            deadlines: options.deadlines()?,
            deflate: options.deflate()?,
            subprotocols: options.get("subprotocols")?.unwrap_or_default(),
            origins: options.origins()?,
            allowed_hosts: options.get("allowed_hosts")?.unwrap_or_default(),
            server: options.get("server_header")?,
            hsts: options.duration("hsts")?.map(|duration| duration.as_secs()),
            asks: options.get("asks")?.unwrap_or(false),
            proxy_protocol: options.get("proxy_protocol")?.unwrap_or(false),
            trusted: options.trusted()?,
            forwarded: options.forwarded()?,
            secure: options.get("secure")?.unwrap_or(false),
            tls,
            loopback: options.get("loopback")?.unwrap_or(false),
            overflow: options.overflow()?,
        };
        Ok(Settings { settings: Arc::new(settings), marks })
    }
}

struct Options<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'py> Options<'_, 'py> {
    fn item(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.0.get_item(name)?.filter(|value| !value.is_none()))
    }

    fn get<T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>>(&self, name: &str) -> PyResult<Option<T>> {
        let wrong = |error: PyErr| self.usage(format!("{name}: {error}"));
        self.item(name)?
            .map(|value| value.extract().map_err(|error: <T as FromPyObject<'_, 'py>>::Error| wrong(error.into())))
            .transpose()
    }

    fn usage(&self, text: impl Into<String>) -> PyErr {
        errors::usage(self.0.py(), text)
    }

    fn limits(&self) -> PyResult<Limits> {
        let mut limits = Limits::default();
        let Some(given) = self.item("limits")? else { return Ok(limits) };
        for (name, value) in given.cast::<PyDict>()?.iter() {
            let name = name.cast_into::<PyString>()?.to_string();
            let field = limits.field(&name).ok_or_else(|| self.usage(format!("there is no limit called {name}")))?;
            *field = value.extract()?;
        }
        Ok(limits)
    }

    fn duration(&self, name: &str) -> PyResult<Option<Duration>> {
        let Some(seconds) = self.get::<f64>(name)? else { return Ok(None) };
        Duration::try_from_secs_f64(seconds)
            .map(Some)
            .map_err(|_| self.usage(format!("{name} must be a number of seconds, 0 or more, or None; not {seconds}")))
    }

    fn deadlines(&self) -> PyResult<Deadlines> {
        Ok(Deadlines {
            open: self.duration("open_timeout")?,
            ping_interval: self.duration("ping_interval")?,
            ping_timeout: self.duration("ping_timeout")?,
            close: self.duration("close_timeout")?,
            idle: self.duration("idle_timeout")?,
        })
    }

    fn deflate(&self) -> PyResult<Option<deflate::Config>> {
        let Some(given) = self.item("compression")? else { return Ok(None) };
        let given = Options(given.cast::<PyDict>()?);
        let default = deflate::Config::default();
        Ok(Some(deflate::Config {
            server_no_context_takeover: given
                .get("server_no_context_takeover")?
                .unwrap_or(default.server_no_context_takeover),
            client_no_context_takeover: given
                .get("client_no_context_takeover")?
                .unwrap_or(default.client_no_context_takeover),
            server_max_window_bits: given.get("server_max_window_bits")?,
            client_max_window_bits: given.get("client_max_window_bits")?,
            level: given.get("level")?.unwrap_or(default.level),
            threshold: given.get("threshold")?.unwrap_or(default.threshold),
        }))
    }

    /// `"*"`: any; absent: the same origin; a list of origins in which `None` stands for programs.
    fn origins(&self) -> PyResult<Origins> {
        let Some(given) = self.item("origins")? else { return Ok(Origins::Same) };
        if given.extract::<String>().is_ok_and(|text| text == "*") {
            return Ok(Origins::Any);
        }
        let mut list = Vec::new();
        let mut missing = false;
        for origin in given.try_iter()? {
            match origin?.extract::<Option<String>>()? {
                None => missing = true,
                Some(text) => list.push(parsed(given.py(), &text)?),
            }
        }
        Ok(Origins::Allow { list, missing })
    }

    fn trusted(&self) -> PyResult<Vec<everwire_reactor::address::Network>> {
        let given: Vec<String> = self.get("trusted_proxies")?.unwrap_or_default();
        given.iter().map(|text| text.parse().map_err(|error: String| self.usage(error))).collect()
    }

    fn forwarded(&self) -> PyResult<forwarded::Source> {
        match self.get::<String>("forwarded")?.as_deref() {
            None | Some("x-forwarded-for") => Ok(forwarded::Source::XForwardedFor),
            Some("forwarded") => Ok(forwarded::Source::Forwarded),
            Some(other) => Err(self.usage(format!("forwarded is \"x-forwarded-for\" or \"forwarded\", not {other:?}"))),
        }
    }

    fn overflow(&self) -> PyResult<Overflow> {
        match self.get::<String>("overflow")?.as_deref() {
            None | Some("skip") => Ok(Overflow::Skip),
            Some("close") => Ok(Overflow::Close),
            Some(other) => Err(self.usage(format!("overflow is \"skip\" or \"close\", not {other:?}"))),
        }
    }
}

/// An origin as a browser writes it, for comparison (RFC 6454 §6.2).
#[pyfunction]
pub fn origin(py: Python<'_>, text: &str) -> PyResult<String> {
    Ok(parsed(py, text)?.to_string())
}

fn parsed(py: Python<'_>, text: &str) -> PyResult<Origin> {
    Origin::parse(text).ok_or_else(|| {
        errors::usage(py, format!("{text:?} is not an origin: write it as a browser does, such as https://example.com"))
    })
}
