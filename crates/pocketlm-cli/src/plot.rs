//! Plots as SVG, which needs no font and no image library: a reader brings both.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::combinators::WithKeyPoints;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Usage;

const SIZE: (u32, u32) = (900, 600);
const TEXT: i32 = 17;
const FONT: &str = "sans-serif";
/// Colours that people who confuse red and green tell apart (Okabe & Ito 2008).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(110, 110, 110);
const PALE: RGBColor = RGBColor(225, 225, 225);

/// Refuses a name that promises another format.
pub fn check_name(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("svg")) {
        return Ok(());
    }
    let (shown, svg) = (path.display(), path.with_extension("svg"));
    let svg = svg.display();
    let convert = match path.extension() {
        Some(end) if end.eq_ignore_ascii_case("png") => {
            format!("; to make a PNG of it: rsvg-convert {svg} -o {shown}")
        }
        _ => String::new(),
    };
    Err(Usage(format!("{shown}: plots are written as SVG: give --plot {svg}{convert}")).into())
}

/// A model in [`frontier`].
pub struct Point {
    /// What is written beside it.
    pub name: String,
    /// Bytes of its file.
    pub bytes: f64,
    /// What the vertical axis measures, smaller being better.
    pub loss: f64,
    /// Whether it lies on the frontier.
    pub on_frontier: bool,
}

/// Bytes against the loss that `measure` names, names beside the points, those on the frontier joined.
pub fn frontier(points: &[Point], measure: &str) -> Result<String> {
    let x = Axis::around(points.iter().map(|point| point.bytes), 1.2);
    let y = Axis::around(points.iter().map(|point| point.loss), 1.05);
    draw(|area| {
        let mut chart = builder(area).build_cartesian_2d(x.coordinate(), y.coordinate())?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("size of the file").x_label_formatter(&|&bytes| size(bytes));
        mesh.y_desc(measure).y_label_formatter(&|&loss| number(loss));
        mesh.label_style((FONT, TEXT)).axis_desc_style((FONT, TEXT));
        mesh.light_line_style(TRANSPARENT).bold_line_style(PALE).axis_style(GREY).draw()?;
        let mut best: Vec<&Point> = points.iter().filter(|point| point.on_frontier).collect();
        best.sort_by(|a, b| a.bytes.total_cmp(&b.bytes));
        let line = best.iter().map(|point| (point.bytes, point.loss));
        chart.draw_series([PathElement::new(line.collect::<Vec<_>>(), BLUE.stroke_width(2))])?;
        let dot = |point: &Point| {
            let color = if point.on_frontier { BLUE } else { GREY };
            Circle::new((point.bytes, point.loss), 5, color.filled())
        };
        chart.draw_series(points.iter().map(dot))?;
        let places: Vec<(i32, i32)> =
            points.iter().map(|point| chart.backend_coord(&(point.bytes, point.loss))).collect();
        let names: Vec<String> = points.iter().map(|point| printable(&point.name)).collect();
        for (name, label) in names.iter().zip(place_labels(&places, &names)) {
            let style =
                (FONT, TEXT).into_font().color(&BLACK).pos(Pos::new(label.side, VPos::Center));
            area.draw(&Text::new(name.as_str(), label.at, style))?;
        }
        Ok(())
    })
}

/// A training: perplexity over epochs, of the training text so far in the epoch and of the validation text.
pub fn learning(train: &[(f64, f64)], valid: &[(f64, f64)], title: &str) -> Result<String> {
    let all = || train.iter().chain(valid);
    let epochs = all().map(|&(epoch, _)| epoch).fold(1.0, f64::max);
    let y = Axis::around(all().map(|&(_, perplexity)| perplexity), 1.05);
    draw(|area| {
        let mut builder = builder(area);
        builder.caption(printable(title), (FONT, TEXT));
        let mut chart = builder.build_cartesian_2d(0.0..epochs, y.coordinate())?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("epochs").x_label_formatter(&|&epoch| number(epoch));
        mesh.y_desc("perplexity").y_label_formatter(&|&perplexity| number(perplexity));
        mesh.label_style((FONT, TEXT)).axis_desc_style((FONT, TEXT));
        mesh.light_line_style(TRANSPARENT).bold_line_style(PALE).axis_style(GREY).draw()?;
        for (name, points, color) in
            [("train, the epoch so far", train, GREY), ("valid", valid, ORANGE)]
        {
            let line = PathElement::new(points.to_vec(), color.stroke_width(2));
            let key = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2));
            chart.draw_series([line])?.label(name).legend(key);
        }
        chart.draw_series(valid.iter().map(|&at| Circle::new(at, 4, ORANGE.filled())))?;
        let mut labels = chart.configure_series_labels();
        labels.label_font((FONT, TEXT)).border_style(PALE).background_style(WHITE);
        labels.position(SeriesLabelPosition::UpperRight).draw()?;
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What `fill` draws on white, as the text of a file.
fn draw(
    fill: impl FnOnce(&Area) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| fill(&area)).and_then(|()| area.present());
    drop(area);
    drawn.map_err(|error| anyhow!("the plot cannot be drawn: {error}"))?;
    Ok(text)
}

fn builder<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(15).x_label_area_size(50).y_label_area_size(80);
    builder
}

/// A logarithmic axis: its ends and the numbers that are written at it.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

type Coordinate = WithKeyPoints<LogCoord<f64>>;

impl Axis {
    /// Around all numbers that can be drawn, with `room` times as much beyond the first and the last.
    fn around(numbers: impl Iterator<Item = f64> + Clone, room: f64) -> Self {
        let drawn = numbers.filter(|number| number.is_finite() && *number > 0.0);
        let (low, high) = drawn.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), number| {
            (low.min(number), high.max(number))
        });
        let (low, high) = if low > high { (1.0, 10.0) } else { (low / room, high * room) };
        Self { low, high, ticks: ticks(low, high) }
    }

    fn coordinate(&self) -> Coordinate {
        (self.low..self.high).log_scale().with_key_points(self.ticks.clone())
    }
}

/// Round numbers between two: 1, 2 and 5 of each decade, or where that makes few, even steps.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let within = |number: &f64| (low..=high).contains(number);
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let power = |at: i32| 10f64.powi(at);
    if high / low > 1e4 {
        return decades.map(power).filter(within).collect();
    }
    let round: Vec<f64> = decades
        .flat_map(|at| [1.0, 2.0, 5.0].map(|digit| digit * power(at)))
        .filter(within)
        .collect();
    if round.len() >= 4 {
        return round;
    }
    let rough = (high - low) / 5.0;
    let unit = power(rough.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * unit);
    let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    (first..).map(|at| at as f64 * step).take_while(|number| *number <= high).collect()
}

/// `1.5 MB`
fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 999_500.0 => format!("{} MB", number(bytes / 1e6)),
        bytes if bytes >= 1e3 => format!("{} KB", number(bytes / 1e3)),
        _ => format!("{} B", number(bytes)),
    }
}

/// Without the zeros at its end.
fn number(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A name without what XML cannot hold.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Where a name stands: the end of it that is nearest to its point.
struct Label {
    at: (i32, i32),
    side: HPos,
}

/// Places for names beside their points that cross no other name and no point, as far as there are such.
fn place_labels(points: &[(i32, i32)], names: &[String]) -> Vec<Label> {
    /// Half the height of a line, and the distance from a point.
    const HALF: i32 = 9;
    const GAP: i32 = 9;
    /// Above first: the frontier falls to the right.
    const HEIGHTS: [i32; 7] = [-10, 10, -26, 26, -42, 42, 0];
    let mut taken: Vec<[i32; 4]> = Vec::new();
    let dots: Vec<[i32; 4]> = points.iter().map(|&(x, y)| [x - 6, y - 6, x + 6, y + 6]).collect();
    let crosses =
        |a: &[i32; 4], b: &[i32; 4]| a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
    let mut labels = Vec::new();
    for (name, &(x, y)) in names.iter().zip(points) {
        let width = name.chars().count() as i32 * TEXT * 47 / 100;
        let place = |side: HPos, up: i32| {
            let (left, right) = match side {
                HPos::Left => (x + GAP, x + GAP + width),
                _ => (x - GAP - width, x - GAP),
            };
            [left, y + up - HALF, right, y + up + HALF]
        };
        let sides = [HPos::Left, HPos::Right];
        let places = HEIGHTS.iter().flat_map(|&up| sides.map(|side| (side, up)));
        let cost = |(side, up): &(HPos, i32)| {
            let own = place(*side, *up);
            let outside =
                own[0] < 0 || own[2] > SIZE.0 as i32 || own[1] < 0 || own[3] > SIZE.1 as i32;
            let crossed = taken.iter().chain(&dots).filter(|other| crosses(&own, other)).count();
            crossed + 100 * usize::from(outside)
        };
        // Of equals the first.
        let (side, up) = places.min_by_key(cost).unwrap_or((HPos::Left, 0));
        let own = place(side, up);
        taken.push(own);
        let at = match side {
            HPos::Left => (own[0], y + up),
            _ => (own[2], y + up),
        };
        labels.push(Label { at, side });
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        assert_eq!(ticks(1.0, 12.0), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(ticks(16.2, 18.3), [16.5, 17.0, 17.5, 18.0]);
        assert_eq!(ticks(9.0, 2e6), [10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
        for (low, high) in [(1e-3, 2e-3), (99.0, 101.0), (3.0, 3.0000001), (5e3, 5e9)] {
            let ticks = ticks(low, high);
            assert!(ticks.len() >= 2 && ticks.len() < 12, "{low} {high}: {ticks:?}");
        }
    }

    #[test]
    fn sizes_are_written_in_units() {
        assert_eq!(size(512.0), "512 B");
        assert_eq!(size(200_000.0), "200 KB");
        assert_eq!(size(1_500_000.0), "1.5 MB");
    }

    #[test]
    fn names_of_near_points_do_not_cross() {
        let points = [(400, 300), (404, 302), (402, 298)];
        let labels = place_labels(&points, &["one".into(), "two".into(), "three".into()]);
        for (a, first) in labels.iter().enumerate() {
            for second in &labels[..a] {
                let same_side = (first.at.0 - second.at.0).abs() < 15;
                assert!(!same_side || (first.at.1 - second.at.1).abs() >= 14, "{a}");
            }
        }
    }

    #[test]
    fn names_are_escaped_and_one_model_is_enough() {
        let point = Point { name: "a<b>&\u{1}".into(), bytes: 100.0, loss: 2.0, on_frontier: true };
        let text = frontier(&[point], "perplexity").unwrap();
        assert!(text.contains("a&lt;b&gt;&amp;\u{fffd}"), "{text}");
    }
}
