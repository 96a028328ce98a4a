//! Every request code has a row, or a reason.

use std::path::Path;

use rmq_remoting::{Client, ClientOptions, NoService};

use super::*;

/// The codes that are answered "not supported", and why.
fn reason_not_served(code: RequestCode) -> Option<&'static str> {
    Some(match code.0 {
        10..=47 | 60..=61 => "asked of brokers",
        200..=204 | 207..=215 | 222..=223 | 225 => "asked of brokers",
        220 | 221 | 307 | 309 | 326 | 200_073 => "asked of clients",
        300..=303 | 305..=306 | 308 | 310 | 314..=317 | 320..=321 | 323..=325 | 328..=370 => {
            "asked of brokers"
        }
        400..=402 | 513 | 2001..=2004 | 5001 | 200_050..=200_072 | 200_074..=200_151 => "asked of brokers",
        902..=903 => "asked of broker containers",
        905..=908 => "asked of brokers; 905 is what a name server sends",
        1001..=1013 => "asked of controllers",
        3001..=3010 => "asked of brokers: users and policies live there",
        _ => return None,
    })
}

fn dispatch(home: &Path) -> Dispatch {
    let config = Arc::new(RwLock::new(Config::at_home(home)));
    let table = Arc::new(RwLock::new(RouteTable::default()));
    let kv = Arc::new(KvStore::open(&home.join("kvConfig.json")).unwrap());
    let clock = Clock::start();
    let client = Client::new(ClientOptions::default(), Arc::new(NoService));
    let liveness = Arc::new(Liveness::new(Arc::clone(&table), Arc::clone(&config), clock, client));
    let handlers = Handlers::new(config, table, kv, clock, Arc::clone(&liveness));
    Dispatch::new(handlers, liveness)
}

#[tokio::test]
async fn every_code_has_a_row_or_a_reason() {
    let home = tempfile::tempdir().unwrap();
    let dispatch = dispatch(home.path());
    for code in RequestCode::ALL {
        match (dispatch.row(*code), reason_not_served(*code)) {
            (None, None) => panic!("{code} has neither a row nor a reason"),
            (Some(_), Some(reason)) => panic!("{code} has a row and is \"{reason}\""),
            _ => {}
        }
    }
    let mut codes: Vec<_> = dispatch.rows.iter().map(|row| row.code).collect();
    codes.dedup();
    assert_eq!(codes.len(), dispatch.rows.len(), "a code has two rows");
}

#[tokio::test]
async fn an_unknown_code_gets_javas_answer() {
    let home = tempfile::tempdir().unwrap();
    let peer = Peer::unconnected(([127, 0, 0, 1], 1).into());
    for number in [9999, RequestCode::SEND_MESSAGE.0, -5] {
        let answer = dispatch(home.path()).answer(&peer, &Command::request(RequestCode(number)));
        assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
        assert_eq!(answer.remark, Some(format!(" request type {number} not supported")));
    }
}
