//! The timers against a sorted map: every four bytes arm one, cancel one, or let time pass.
#![no_main]

use std::collections::BTreeMap;

use aio_model::Tick;
use aio_model::timers::Timers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut timers, mut naive, mut now) = (Timers::new(), BTreeMap::new(), 0_u64);
    for (serial, step) in bytes.chunks_exact(4).enumerate() {
        // A number of up to 2^16, shifted by up to 47 bits: near and far, clustered and apart.
        let amount = u64::from(u16::from_le_bytes([step[1], step[2]])) << (step[3] % 32);
        match step[0] % 4 {
            0 | 1 => {
                // What lies past the end of time counts as its end.
                let at = Tick((now + amount).min((1 << 48) - 1));
                naive.insert((at, serial), timers.arm(at, serial));
            }
            2 => {
                let nth = usize::from(step[1]) % naive.len().max(1);
                let victim = naive.keys().nth(nth).copied();
                if let Some(timer) = victim.and_then(|key| naive.remove(&key)) {
                    assert_eq!(timers.cancel(timer), victim.unwrap().1);
                }
            }
            _ => {
                now += amount;
                while let Some(owner) = timers.pop_due(Tick(now)) {
                    let (first, _) = naive.pop_first().expect("what fires was armed");
                    assert_eq!(owner, first.1, "the earliest first; of one tick, the one armed first");
                    assert!(first.0 <= Tick(now));
                }
            }
        }
        assert_eq!(timers.earliest(), naive.keys().next().map(|(at, _)| *at));
        assert_eq!(timers.len() as usize, naive.len());
    }
});
