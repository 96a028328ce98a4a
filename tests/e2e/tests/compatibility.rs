//! `docs/COMPATIBILITY.md` tells the truth: every request code has a row, and the daemons serve what it says.

use std::collections::BTreeMap;
use std::path::Path;

use rmq_proto::code::RequestCode;
use rmq_testkit::wire::Connection;
use rmq_testkit::{Cluster, Flavor};

const REQUEST_CODE_NOT_SUPPORTED: i32 = 3;

/// A row of the table of request codes.
struct Row {
    name: String,
    served_by: String,
    state: String,
}

fn rows() -> BTreeMap<i32, Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COMPATIBILITY.md");
    let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(i32, Row)> {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let [_, code, name, served_by, state, ..] = cells[..] else { return None };
    let row = Row { name: name.into(), served_by: served_by.into(), state: state.into() };
    code.parse().ok().map(|code| (code, row))
}

#[test]
fn every_request_code_has_a_row_under_its_name() {
    let rows = rows();
    for code in RequestCode::ALL {
        let row = rows.get(&code.0).unwrap_or_else(|| panic!("{code} has no row"));
        assert_eq!(code.name(), Some(row.name.as_str()));
    }
    assert_eq!(rows.len(), RequestCode::ALL.len(), "a row has a code that does not exist");
}

#[test]
fn the_daemons_serve_what_the_page_says_and_nothing_else() {
    let cluster = Cluster::start(Flavor::under_test());
    let addrs = [("broker", cluster.broker().addr()), ("name server", cluster.namesrv().addr())];
    for (daemon, addr) in addrs {
        let mut connection = Connection::open(&addr);
        for (code, row) in rows() {
            let says_served = row.served_by == daemon && ["works", "differs"].contains(&row.state.as_str());
            // Without its header fields hardly any request succeeds; what matters is whether it is known.
            let is_served = connection.call(code, &[], b"").code != REQUEST_CODE_NOT_SUPPORTED;
            assert_eq!(is_served, says_served, "{daemon}: {code} {} ({})", row.name, row.state);
        }
    }
}
