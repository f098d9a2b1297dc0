//! Delimited text: CSV, TSV or semicolons, plain or gzipped, with a header.
//!
//! [`Table::open`] looks at the header alone; [`Table::read`] streams through the file once and keeps only the
//! columns that were asked for, parsed as they come. The delimiter is the one that the header uses most, gzip is
//! known by its first bytes, both whatever the file is called.
//! Not here: what the columns mean (`dataset`).

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use flate2::bufread::MultiGzDecoder;

use crate::error::DataError;
use crate::names::Known;

/// A delimited text file whose header has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    path: PathBuf,
    delimiter: u8,
    names: Vec<String>,
    first_row: Vec<String>,
}

/// The columns wanted from a [`Table`], by name.
#[derive(Debug, Clone, Default)]
pub struct TableRequest<'a> {
    /// Columns kept as text, trimmed.
    pub text: Vec<&'a str>,
    /// Columns of finite numbers.
    pub number: Vec<&'a str>,
    /// Columns of finite numbers that together form one row-major matrix.
    pub matrix: Vec<&'a str>,
}

/// What a [`TableRequest`] brought, in the order of its names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableData {
    /// Number of rows.
    pub rows: usize,
    /// The text columns.
    pub text: Vec<Vec<String>>,
    /// The columns of numbers.
    pub number: Vec<Vec<f64>>,
    /// The matrix, `[rows, request.matrix.len()]`.
    pub matrix: Vec<f32>,
}

impl Table {
    /// Reads the header of a file and its first row.
    ///
    /// An unnamed first column, as pandas writes a table's index, is called `index`.
    ///
    /// # Errors
    /// [`DataError`] if the file cannot be read, is no delimited text, or has no rows, or if a column occurs twice.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataError> {
        let path = path.into();
        let mut source = decompressed(&path)?;
        let start = source.fill_buf().map_err(|e| read_error(&path, e))?;
        if let Some(found) = foreign(start) {
            return Err(DataError::Foreign { path, expected: "a delimited text file", found });
        }
        let delimiter = sniff_delimiter(start);
        let mut reader = csv_reader(source, delimiter);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(|e| csv_error(&path, e))? {
            return Err(DataError::NoRows { path });
        }
        let mut names = Vec::with_capacity(record.len());
        let mut seen = HashSet::new();
        for (i, field) in record.iter().enumerate() {
            let Ok(name) = std::str::from_utf8(field) else {
                return Err(DataError::Foreign {
                    path,
                    expected: "a delimited text file",
                    found: "its header is not UTF-8 text",
                });
            };
            let name = if i == 0 && name.trim().is_empty() { "index" } else { name.trim() };
            if !seen.insert(name.to_owned()) {
                return Err(DataError::DuplicateColumn { path, column: name.to_owned() });
            }
            names.push(name.to_owned());
        }
        if !reader.read_byte_record(&mut record).map_err(|e| csv_error(&path, e))? {
            return Err(DataError::NoRows { path });
        }
        let first_row = record.iter().map(|f| String::from_utf8_lossy(f).trim().to_owned()).collect();
        Ok(Self { path, delimiter, names, first_row })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The columns' names, in the file's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a column exists.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    /// Names of the columns that hold a number in the first row, in the file's order.
    pub fn numeric_names(&self) -> impl Iterator<Item = &str> {
        let numeric = self.first_row.iter().map(|f| f.parse::<f64>().is_ok());
        self.names.iter().zip(numeric).filter(|&(_, yes)| yes).map(|(n, _)| n.as_str())
    }

    /// Streams through the file and returns the columns asked for.
    ///
    /// # Errors
    /// As [`read_to`](Self::read_to).
    pub fn read(&self, request: &TableRequest<'_>) -> Result<TableData, DataError> {
        let mut matrix = Vec::new();
        let data = self.read_to(request, &mut |row| {
            matrix.extend_from_slice(row);
            Ok(())
        })?;
        Ok(TableData { matrix, ..data })
    }

    /// The same, but the rows of the matrix go to `take`, one after the other, and nowhere else.
    ///
    /// # Errors
    /// [`DataError::NoSuchName`] for a column that is not there, [`DataError::BadField`] for a number that is none
    /// or is not finite, [`DataError::RaggedRow`], what reading may bring, and what `take` returns.
    pub fn read_to(
        &self,
        request: &TableRequest<'_>,
        take: &mut dyn FnMut(&[f32]) -> Result<(), DataError>,
    ) -> Result<TableData, DataError> {
        let text = self.positions(&request.text)?;
        let number = self.positions(&request.number)?;
        let matrix = self.positions(&request.matrix)?;
        let mut data = TableData {
            rows: 0,
            text: vec![Vec::new(); text.len()],
            number: vec![Vec::new(); number.len()],
            matrix: Vec::new(),
        };
        let mut reader = csv_reader(decompressed(&self.path)?, self.delimiter);
        let mut record = ByteRecord::new();
        let mut row = Vec::with_capacity(matrix.len());
        let mut header = true;
        while reader.read_byte_record(&mut record).map_err(|e| csv_error(&self.path, e))? {
            if std::mem::take(&mut header) {
                continue;
            }
            for (column, &i) in data.text.iter_mut().zip(&text) {
                match std::str::from_utf8(&record[i]) {
                    Ok(field) => column.push(field.trim().to_owned()),
                    Err(_) => return Err(self.bad_field(&record, i, "UTF-8 text")),
                }
            }
            for (column, &i) in data.number.iter_mut().zip(&number) {
                column.push(self.number(&record, i)?);
            }
            row.clear();
            for &i in &matrix {
                let x = self.number(&record, i)? as f32;
                if !x.is_finite() {
                    return Err(self.bad_field(&record, i, "within the range of single precision"));
                }
                row.push(x);
            }
            take(&row)?;
            data.rows += 1;
        }
        Ok(data)
    }

    /// What exists, seen from a name asked for.
    pub(crate) fn no_such_column(&self, name: &str) -> DataError {
        DataError::NoSuchName {
            path: self.path.clone(),
            what: "column",
            name: name.to_owned(),
            known: Box::new(Known::near(name, self.names.iter().map(String::as_str))),
        }
    }

    fn positions(&self, names: &[&str]) -> Result<Vec<usize>, DataError> {
        names
            .iter()
            .map(|&name| self.names.iter().position(|n| n == name).ok_or_else(|| self.no_such_column(name)))
            .collect()
    }

    #[inline]
    fn number(&self, record: &ByteRecord, i: usize) -> Result<f64, DataError> {
        std::str::from_utf8(&record[i])
            .ok()
            .and_then(|field| field.trim().parse::<f64>().ok())
            .filter(|x| x.is_finite())
            .ok_or_else(|| self.bad_field(record, i, "a finite number"))
    }

    fn bad_field(&self, record: &ByteRecord, i: usize, expected: &'static str) -> DataError {
        DataError::BadField {
            path: self.path.clone(),
            line: record.position().map_or(0, csv::Position::line),
            column: self.names[i].clone(),
            value: String::from_utf8_lossy(&record[i]).into_owned(),
            expected,
        }
    }
}

fn read_error(path: &Path, source: std::io::Error) -> DataError {
    match source.kind() {
        // What flate2 reports of a gzip stream that ends early or contradicts its checksum.
        std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::InvalidData
        | std::io::ErrorKind::InvalidInput => {
            DataError::Damaged { path: path.to_owned(), detail: source.to_string() }
        }
        _ => DataError::Read { path: path.to_owned(), source },
    }
}

fn csv_error(path: &Path, error: csv::Error) -> DataError {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => read_error(path, source),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => DataError::RaggedRow {
            path: path.to_owned(),
            line: pos.map_or(0, |p| p.line()),
            found: len as usize,
            expected: expected_len as usize,
        },
        _ => DataError::Damaged { path: path.to_owned(), detail: text },
    }
}

fn csv_reader(source: Box<dyn BufRead>, delimiter: u8) -> csv::Reader<Box<dyn BufRead>> {
    csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(source)
}

/// The file's bytes, unpacked if they are gzip.
fn decompressed(path: &Path) -> Result<Box<dyn BufRead>, DataError> {
    const BUFFER: usize = 1 << 16;
    let open = || -> std::io::Result<(File, [u8; 2])> {
        let mut magic = [0; 2];
        let mut file = File::open(path)?;
        let mut read = 0;
        while read < 2 {
            match file.read(&mut magic[read..])? {
                0 => break,
                n => read += n,
            }
        }
        Ok((File::open(path)?, magic))
    };
    let (file, magic) = open().map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let file = BufReader::with_capacity(BUFFER, file);
    Ok(if magic == [0x1f, 0x8b] {
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// What a file is that is no text, by its first bytes.
fn foreign(start: &[u8]) -> Option<&'static str> {
    if start.starts_with(b"\x89HDF\r\n\x1a\n") {
        Some("it is HDF5; if it is AnnData, let its name end in .h5ad")
    } else if start.starts_with(b"PK\x03\x04") {
        Some("it is a zip archive (a spreadsheet?); save it as CSV")
    } else if start[..start.len().min(4096)].contains(&0) {
        Some("it holds binary data")
    } else {
        None
    }
}

/// Of tab, comma and semicolon the one that the first line uses most outside quotes.
fn sniff_delimiter(start: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b'\t', 0), (b',', 0), (b';', 0)];
    for &byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if !quoted => {
                for (delimiter, count) in &mut counts {
                    *count += usize::from(byte == *delimiter);
                }
            }
            _ => {}
        }
    }
    let (mut delimiter, mut most) = (b',', 0);
    for (candidate, count) in counts {
        if count > most {
            (delimiter, most) = (candidate, count);
        }
    }
    delimiter
}
