//! Lists of extensions: bounded, made of tokens, and judged by the negotiation without a panic.

#![no_main]

use everwire_wire::handshake::Extension;
use everwire_wire::{deflate, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let mut list = Vec::new();
    let parsed = Extension::parse_list(value, &mut list);
    let elements: usize = list.iter().map(|extension| 1 + extension.params.len()).sum();
    assert!(elements <= limits::LIST);
    let config = deflate::Config::default();
    for extension in list.iter().filter(|_| parsed.is_ok()) {
        for (name, value) in &extension.params {
            assert!(!name.is_empty() && value.as_deref() != Some(""));
        }
        let params = extension.params();
        if let Some((agreed, element)) = deflate::accept(&config, &params) {
            assert!((8..=15).contains(&agreed.our_window_bits));
            let mut accepted = Vec::new();
            assert_eq!(Extension::parse_list(element.as_bytes(), &mut accepted), Ok(()));
        }
        let _ = deflate::check(&config, &params);
    }
});
