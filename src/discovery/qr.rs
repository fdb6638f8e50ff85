//! The QR code that a phone scans: in a terminal, as SVG and as PNG.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// White modules around the code; scanners need them to find it (ISO/IEC 18004).
pub const QUIET: usize = 4;
/// The same where room is scarce. Phones find it with one; a screen's edge is not as clean.
pub const NARROW: usize = 2;

/// A text that no QR code can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes are too long for a QR code: it holds 2953 at most")]
pub struct QrError {
    length: usize,
}

/// The QR code's modules, with the quiet zone around them.
struct Modules {
    dark: Vec<bool>,
    inner: usize,
    quiet: usize,
}

impl Modules {
    fn of(text: &str, quiet: usize) -> Result<Modules, QrError> {
        // The lowest correction makes the largest modules; screens have no scratches.
        let code = QrCode::with_error_correction_level(text, EcLevel::L)
            .map_err(|_| QrError { length: text.len() })?;
        let inner = code.width();
        let dark = code.to_colors().into_iter().map(|c| c == Color::Dark);
        Ok(Modules {
            dark: dark.collect(),
            inner,
            quiet,
        })
    }

    /// The side, quiet zone included.
    fn side(&self) -> usize {
        self.inner + 2 * self.quiet
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(self.quiet).filter(|at| *at < self.inner);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.dark[y * self.inner + x],
            _ => false,
        }
    }

    /// The dark runs of one row: where each begins, and how long it is.
    fn runs(&self, y: usize) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for x in (0..self.side()).filter(|x| self.is_dark(*x, y)) {
            match runs.last_mut() {
                Some((from, length)) if *from + *length == x => *length += 1,
                _ => runs.push((x, 1)),
            }
        }
        runs
    }
}

/// The QR code on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// Half blocks, two rows of modules to a line.
    pub lines: Vec<String>,
    /// How wide each of them is.
    pub columns: usize,
}

/// The QR code for a terminal, with a quiet zone of so many modules. Both colours come from the
/// part of the palette that themes leave alone, so that it scans on dark and light terminals.
pub fn terminal(text: &str, quiet: usize) -> Result<Drawing, QrError> {
    let modules = Modules::of(text, quiet)?;
    let rows = (0..modules.side()).step_by(2);
    Ok(Drawing {
        lines: rows.map(|y| terminal_line(&modules, y)).collect(),
        columns: modules.side(),
    })
}

fn terminal_line(modules: &Modules, y: usize) -> String {
    let (mut out, mut painted) = (String::new(), None);
    for x in 0..modules.side() {
        let halves = (modules.is_dark(x, y), modules.is_dark(x, y + 1));
        if painted != Some(halves) {
            let (upper, lower) = (palette(halves.0), palette(halves.1));
            // Writing to a string cannot fail.
            let _ = write!(out, "\x1b[38;5;{upper};48;5;{lower}m");
            painted = Some(halves);
        }
        out.push('▀');
    }
    out + "\x1b[0m"
}

/// Black and white of the colour cube; 0 and 15 would be whatever the theme says.
fn palette(dark: bool) -> u8 {
    if dark { 16 } else { 231 }
}

/// The QR code as an SVG document that scales to any size.
pub fn svg(text: &str) -> Result<String, QrError> {
    let modules = Modules::of(text, QUIET)?;
    let side = modules.side();
    let mut path = String::new();
    for y in 0..side {
        for (x, length) in modules.runs(y) {
            let _ = write!(path, "M{x} {y}h{length}v1h-{length}z");
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path fill=\"#000\" d=\"{path}\"/></svg>\n"
    ))
}

/// The QR code as a black and white PNG, each module `scale` pixels wide (1 to 64).
pub fn png(text: &str, scale: usize) -> Result<Vec<u8>, QrError> {
    let modules = Modules::of(text, QUIET)?;
    let scale = scale.clamp(1, 64);
    let side = modules.side() * scale;
    let rows = (0..side).flat_map(|y| packed_row(&modules, y / scale, scale));
    let pixels: Vec<u8> = rows.collect();
    Ok(encode_png(&pixels, side).unwrap_or_default())
}

/// One row of pixels, eight to a byte, white as 1.
fn packed_row(modules: &Modules, y: usize, scale: usize) -> Vec<u8> {
    let side = modules.side() * scale;
    let mut row = vec![0; side.div_ceil(8)];
    for x in (0..side).filter(|x| !modules.is_dark(x / scale, y)) {
        row[x / 8] |= 0x80 >> (x % 8);
    }
    row
}

/// Into memory, at a size that fits: it does not fail.
fn encode_png(pixels: &[u8], side: usize) -> Result<Vec<u8>, png::EncodingError> {
    let mut out = Vec::new();
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://192.168.1.5:9876/#t=0123456789abcdefABCDEF";

    /// What the escapes paint, as rows of modules.
    fn painted(drawing: &Drawing) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in &drawing.lines {
            let (mut upper, mut lower) = (Vec::new(), Vec::new());
            for run in line.split("\x1b[").filter(|run| !run.is_empty()) {
                let (code, blocks) = run.split_once('m').unwrap();
                let halves = (code.starts_with("38;5;16;"), code.ends_with(";16"));
                upper.extend(blocks.chars().map(|_| halves.0));
                lower.extend(blocks.chars().map(|_| halves.1));
            }
            rows.extend([upper, lower]);
        }
        rows
    }

    #[test]
    fn the_terminal_shows_exactly_the_modules() {
        let modules = Modules::of(URL, QUIET).unwrap();
        let drawing = terminal(URL, QUIET).unwrap();
        let rows = painted(&drawing);
        assert_eq!(rows.len(), modules.side() + 1, "the last line's lower half");
        for (y, row) in rows.iter().enumerate() {
            let expected: Vec<bool> = (0..modules.side()).map(|x| modules.is_dark(x, y)).collect();
            assert_eq!(*row, expected, "row {y}");
        }
        assert!(drawing.lines.iter().all(|line| line.ends_with("▀\x1b[0m")));
        assert_eq!(drawing.columns, modules.side());
    }

    #[test]
    fn a_quiet_zone_surrounds_it() {
        let rows = painted(&terminal(URL, QUIET).unwrap());
        assert!(rows[..QUIET].iter().flatten().all(|dark| !dark));
        assert!(rows.iter().all(|row| row[..QUIET] == [false; QUIET]));
    }

    /// What a phone reads that is pointed at a terminal of this colour.
    fn scanned(drawing: &Drawing, around: u8) -> String {
        const SCALE: usize = 6;
        const MARGIN: usize = 8;
        let rows = painted(drawing);
        let (width, height) = (
            (drawing.columns + 2 * MARGIN) * SCALE,
            (rows.len() + 2 * MARGIN) * SCALE,
        );
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            let at = |at: usize| (at / SCALE).checked_sub(MARGIN);
            let cell = at(y).and_then(|y| rows.get(y)?.get(at(x)?));
            cell.map_or(around, |dark| if *dark { 0 } else { 255 })
        });
        let grids = image.detect_grids();
        grids.first().unwrap().decode().unwrap().1
    }

    #[test]
    fn a_scanner_reads_it_on_any_background() {
        let links = [
            "http://192.168.1.5:9876/",
            URL,
            "http://192.168.100.200:9876/?topic=a-longer-name#t=0123456789abcdefABCDEF",
        ];
        for link in links {
            for quiet in [NARROW, QUIET] {
                let drawing = terminal(link, quiet).unwrap();
                for around in [0, 40, 255] {
                    assert_eq!(scanned(&drawing, around), link, "{quiet} {around}");
                }
            }
        }
    }

    #[test]
    fn a_usual_link_leaves_room_beside_it() {
        let drawing = terminal("http://192.168.100.200:9876/", NARROW).unwrap();
        assert_eq!((drawing.columns, drawing.lines.len()), (29, 15));
    }

    #[test]
    fn svg_is_self_contained() {
        let svg = svg(URL).unwrap();
        let side = terminal(URL, QUIET).unwrap().columns;
        assert!(svg.contains(&format!("viewBox=\"0 0 {side} {side}\"")));
        // The first finder pattern: seven dark modules right after the quiet zone.
        assert!(svg.contains("d=\"M4 4h7v1h-7z"));
        assert!(!svg.contains("<script") && !svg.contains("href"));
    }

    #[test]
    fn png_decodes_to_the_modules() {
        let bytes = png(URL, 3).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let side = terminal(URL, QUIET).unwrap().columns * 3;
        assert_eq!(reader.info().width as usize, side);
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let modules = Modules::of(URL, QUIET).unwrap();
        let stride = side.div_ceil(8);
        for (x, y) in [(0, 0), (13, 13), (20, 14), (side - 1, side - 1)] {
            let dark = pixels[y * stride + x / 8] & (0x80 >> (x % 8)) == 0;
            assert_eq!(dark, modules.is_dark(x / 3, y / 3), "{x} {y}");
        }
    }

    #[test]
    fn too_long_is_an_error() {
        let long = "x".repeat(3000);
        let error = terminal(&long, QUIET).unwrap_err().to_string();
        assert_eq!(
            error,
            "3000 bytes are too long for a QR code: it holds 2953 at most"
        );
        assert!(svg(&long).is_err() && png(&long, 4).is_err());
    }
}
