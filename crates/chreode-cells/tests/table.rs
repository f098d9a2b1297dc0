//! Tables: every dialect, every defect, and the way there and back.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chreode_cells::{DataError, Table, TableRequest};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const SMALL: &str = "cell,day,x,y\na,2,0.5,-1e3\n\"b,c\",4,1,2\n";

#[test]
fn dialects_agree() {
    let dir = tempfile::tempdir().unwrap();
    let request = TableRequest { text: vec!["cell"], number: vec!["day"], matrix: vec!["y", "x"] };
    let plain = Table::open(put(dir.path(), "a.csv", SMALL.as_bytes())).unwrap().read(&request).unwrap();
    assert_eq!(plain.text, [["a", "b,c"]]);
    assert_eq!(plain.number, [[2.0, 4.0]]);
    assert_eq!(plain.matrix, [-1e3, 0.5, 2.0, 1.0]);
    let bom = format!("\u{feff}{SMALL}").replace('\n', "\r\n");
    for (name, bytes) in [
        ("b.txt", "cell\tday\tx\ty\na\t2\t0.5\t-1000\nb,c\t4\t1\t2".as_bytes().to_vec()),
        ("c.csv", "cell;day;x;y\na;2;0.5;-1000\nb,c;4;1;2\n".as_bytes().to_vec()),
        ("d.csv", bom.into_bytes()),
        ("e.csv", gzip(SMALL.as_bytes())), // gzip is known by content, not by name
        ("f.csv.gz", [gzip(&SMALL.as_bytes()[..20]), gzip(&SMALL.as_bytes()[20..])].concat()),
        ("g.csv", " cell , day,x ,y\n a , 2, 0.5 ,-1000\n\"b,c\",4,1,2\n".as_bytes().to_vec()),
    ] {
        let table = Table::open(put(dir.path(), name, &bytes)).unwrap();
        assert_eq!(table.read(&request).unwrap(), plain, "{name}");
        assert_eq!(table.numeric_names().collect::<Vec<_>>(), ["day", "x", "y"], "{name}");
    }
    let pandas = Table::open(put(dir.path(), "h.csv", b",x\nAAAC,1\n")).unwrap();
    assert_eq!(pandas.names(), ["index", "x"]);
}

#[test]
fn defects_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = |bytes: &[u8]| Table::open(put(dir.path(), "t.csv", bytes));
    let read_x =
        |bytes: &[u8]| open(bytes)?.read(&TableRequest { matrix: vec!["x"], ..TableRequest::default() });
    let message = |bytes: &[u8]| {
        let text = read_x(bytes).unwrap_err().to_string();
        text.replace(&*dir.path().to_string_lossy(), "")
    };
    for bad in ["NaN", "inf", "", "abc", "1,2", "1e400"] {
        let text = message(format!("id,x\na,1\nb,\"{bad}\"\n").as_bytes());
        assert_eq!(text, format!("/t.csv, line 3, column `x`: `{bad}` is not a finite number"));
    }
    assert!(message(b"id,x\na,1e39\n").contains("single precision"));
    assert_eq!(message(b"id,X1\na,1\n"), "/t.csv has no column `x`; did you mean `X1`? there are: id, X1");
    assert_eq!(message(b"id,x\na,1\nb\n"), "/t.csv, line 3: 1 fields, but the header has 2");
    assert_eq!(message(b"x,x\n1,1\n"), "/t.csv: column `x` occurs twice in the header");
    assert!(matches!(open(b""), Err(DataError::NoRows { .. })));
    assert!(matches!(open(b"id,x\n"), Err(DataError::NoRows { .. })));
    assert!(matches!(open(b"\x89HDF\r\n\x1a\n123"), Err(DataError::Foreign { .. })));
    assert!(matches!(open(b"PK\x03\x04xx"), Err(DataError::Foreign { .. })));
    assert!(matches!(open(b"a,b\0\n1,2\n"), Err(DataError::Foreign { .. })));
    assert!(matches!(open(b"\xff\xfe,b\n1,2\n"), Err(DataError::Foreign { .. })));
    assert!(matches!(Table::open(dir.path().join("none.csv")), Err(DataError::Read { .. })));
    let mut long = String::from("id,x\n");
    for i in 0..50_000 {
        writeln!(long, "{i},{}", f64::from(i).sin()).unwrap();
    }
    let zipped = gzip(long.as_bytes());
    assert_eq!(read_x(&zipped).unwrap().rows, 50_000);
    assert!(matches!(read_x(&zipped[..zipped.len() / 2]), Err(DataError::Damaged { .. })));
    let mut flipped = zipped.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    assert!(read_x(&flipped).is_err());
}

proptest! {
    /// What is written comes back to the bit, whatever stands in the text.
    #[test]
    fn round_trip(rows in prop::collection::vec(("[^\x00]{0,12}", any::<f64>(), any::<f32>(), any::<f32>()), 1..40), tabs: bool, zip: bool) {
        prop_assume!(rows.iter().all(|r| r.1.is_finite() && r.2.is_finite() && r.3.is_finite()));
        let dir = tempfile::tempdir().unwrap();
        let delimiter = if tabs { b'\t' } else { b',' };
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["a name", "time", "x", "y"]).unwrap();
        for (text, t, x, y) in &rows {
            writer.write_record([text, &t.to_string(), &x.to_string(), &y.to_string()]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let path = put(dir.path(), "t.txt", &if zip { gzip(&bytes) } else { bytes });
        let request = TableRequest { text: vec!["a name"], number: vec!["time"], matrix: vec!["x", "y"] };
        let data = Table::open(path).unwrap().read(&request).unwrap();
        prop_assert_eq!(data.rows, rows.len());
        for (i, (text, t, x, y)) in rows.iter().enumerate() {
            prop_assert_eq!(&data.text[0][i], text.trim());
            prop_assert_eq!(data.number[0][i].to_bits(), t.to_bits());
            prop_assert_eq!((data.matrix[2 * i].to_bits(), data.matrix[2 * i + 1].to_bits()), (x.to_bits(), y.to_bits()));
        }
    }
}
