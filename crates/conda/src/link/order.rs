//! The order in which packages are linked.

use std::collections::HashMap;

use crate::record::Record;

/// Places of the packages, each behind those that it depends on. Among packages of which none needs the
/// other, and in circles, names decide.
#[must_use]
pub fn dependencies_first(records: &[&Record]) -> Vec<usize> {
    let by_name: HashMap<&str, usize> = records
        .iter()
        .enumerate()
        .map(|(at, record)| (record.name.as_str(), at))
        .collect();
    let needs = |at: usize| {
        let depends = records.get(at).map(|record| record.depends.as_slice());
        let mut needs: Vec<usize> = depends
            .unwrap_or_default()
            .iter()
            .filter_map(|text| {
                let end = text.find([' ', '=', '<', '>', '!', '~', '[']);
                let name = text.get(..end.unwrap_or(text.len()))?;
                by_name.get(name).copied()
            })
            .collect();
        needs.sort_by_key(|at| records.get(*at).map(|record| record.name.as_str()));
        needs.reverse();
        needs
    };
    let mut roots: Vec<usize> = (0..records.len()).collect();
    roots.sort_by_key(|at| records.get(*at).map(|record| record.name.as_str()));
    let mut seen = vec![false; records.len()];
    let mut order = Vec::with_capacity(records.len());
    for root in roots {
        // Not by recursion: a chain of dependencies may be as long as the list.
        let mut open = vec![(root, None::<Vec<usize>>)];
        while let Some((at, rest)) = open.last_mut() {
            let rest = match rest {
                Some(rest) => rest,
                None => {
                    let is_seen = seen
                        .get_mut(*at)
                        .is_none_or(|seen| std::mem::replace(seen, true));
                    if is_seen {
                        open.pop();
                        continue;
                    }
                    rest.insert(needs(*at))
                }
            };
            match rest.pop() {
                Some(next) => open.push((next, None)),
                None => {
                    order.push(*at);
                    open.pop();
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first_whatever_the_order_and_in_circles() {
        let record = |name: &str, depends: &[&str]| Record {
            name: name.to_owned(),
            depends: depends.iter().map(|text| (*text).to_owned()).collect(),
            ..Record::default()
        };
        let all = [
            record("a", &["python >=3", "z"]),
            record("pip", &["python"]),
            record("python", &["pip", "zlib 1.2.*", "elsewhere"]),
            record("z", &[]),
            record("zlib", &[]),
        ];
        let names = |records: &[&Record]| -> Vec<String> {
            let order = dependencies_first(records).into_iter();
            order.map(|at| records[at].name.clone()).collect()
        };
        let forwards: Vec<&Record> = all.iter().collect();
        let backwards: Vec<&Record> = all.iter().rev().collect();
        assert_eq!(names(&forwards), ["pip", "zlib", "python", "z", "a"]);
        assert_eq!(names(&forwards), names(&backwards));
    }
}
