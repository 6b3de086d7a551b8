//! Rectangles for a treemap, as square as can be (Bruls, Huizing, van Wijk: "Squarified
//! Treemaps", 2000).

/// A rectangle, in any unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rectangle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Divides a rectangle among weights, which come the largest first. Each gets its share of the
/// area; weights of zero get nothing.
pub(super) fn squarify(weights: &[u64], within: Rectangle) -> Vec<Rectangle> {
    let total: u64 = weights.iter().sum();
    let mut left = within;
    let mut rectangles = Vec::with_capacity(weights.len());
    if total == 0 {
        return weights
            .iter()
            .map(|_| Rectangle {
                width: 0.0,
                height: 0.0,
                ..within
            })
            .collect();
    }
    let scale = within.width * within.height / total as f64;
    let areas: Vec<f64> = weights
        .iter()
        .map(|weight| *weight as f64 * scale)
        .collect();
    let mut rest = areas.as_slice();
    while !rest.is_empty() {
        let side = left.width.min(left.height);
        let mut taken = 1;
        while taken < rest.len() && worst(rest, taken + 1, side) <= worst(rest, taken, side) {
            taken += 1;
        }
        let (row, next) = rest.split_at(taken);
        left = lay(row, left, &mut rectangles);
        rest = next;
    }
    rectangles
}

/// How far from a square the worst of the first `count` is when they share a side.
fn worst(areas: &[f64], count: usize, side: f64) -> f64 {
    let row = areas.get(..count).unwrap_or(areas);
    let sum: f64 = row.iter().sum();
    let largest = row.iter().copied().fold(0.0, f64::max);
    let smallest = row.iter().copied().fold(f64::INFINITY, f64::min);
    let (side, sum) = (side * side, sum * sum);
    (side * largest / sum).max(sum / (side * smallest))
}

/// Puts a row along the shorter side and returns what is left.
fn lay(row: &[f64], within: Rectangle, rectangles: &mut Vec<Rectangle>) -> Rectangle {
    let sum: f64 = row.iter().sum();
    let across = within.width >= within.height;
    let side = if across { within.height } else { within.width };
    let thickness = if side > 0.0 { sum / side } else { 0.0 };
    let mut at = 0.0;
    for area in row {
        let length = if thickness > 0.0 {
            area / thickness
        } else {
            0.0
        };
        rectangles.push(match across {
            true => Rectangle {
                x: within.x,
                y: within.y + at,
                width: thickness,
                height: length,
            },
            false => Rectangle {
                x: within.x + at,
                y: within.y,
                width: length,
                height: thickness,
            },
        });
        at += length;
    }
    match across {
        true => Rectangle {
            x: within.x + thickness,
            width: (within.width - thickness).max(0.0),
            ..within
        },
        false => Rectangle {
            y: within.y + thickness,
            height: (within.height - thickness).max(0.0),
            ..within
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_proportional_and_stay_inside() {
        // The example of the paper.
        let weights = [6, 6, 4, 3, 2, 2, 1];
        let within = Rectangle {
            x: 0.0,
            y: 0.0,
            width: 6.0,
            height: 4.0,
        };
        let found = squarify(&weights, within);
        for (rectangle, weight) in found.iter().zip(weights) {
            assert!((rectangle.width * rectangle.height - weight as f64).abs() < 1e-9);
            assert!(rectangle.x >= 0.0 && rectangle.x + rectangle.width <= 6.0 + 1e-9);
            assert!(rectangle.y >= 0.0 && rectangle.y + rectangle.height <= 4.0 + 1e-9);
        }
        let first = Rectangle {
            x: 0.0,
            y: 0.0,
            width: 3.0,
            height: 2.0,
        };
        assert_eq!(found[0], first);
        assert_eq!(found[1], Rectangle { y: 2.0, ..first });
    }

    #[test]
    fn nothing_takes_no_room() {
        let within = Rectangle {
            x: 1.0,
            y: 1.0,
            width: 0.0,
            height: 5.0,
        };
        assert_eq!(squarify(&[], within), []);
        for rectangle in squarify(&[3, 0], within)
            .iter()
            .chain(&squarify(&[0, 0], within))
        {
            assert!(rectangle.width.is_finite() && rectangle.height.is_finite());
        }
    }
}
