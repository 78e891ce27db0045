//! The file as a tree that remembers where each value stands.
//!
//! Values that come from the environment are put into the same tree, with spans beyond any text,
//! so that every value has a place to point at, whatever it came from.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::{Location, Source};

/// Spans from here on stand for variables of the environment. No text is so long.
const VARIABLES_FROM: usize = usize::MAX / 2;

/// Where a value is: `routes[2].match.to`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    /// The place of these keys from the top.
    pub(super) fn of(keys: &[&str]) -> Place {
        Place(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// The place of a key in the table here.
    pub(super) fn key(&self, key: &str) -> Place {
        let mut place = self.clone();
        place.0.push(Step::Key(key.to_owned()));
        place
    }

    /// The place of an element of the list here.
    pub(super) fn index(&self, index: usize) -> Place {
        let mut place = self.clone();
        place.0.push(Step::Index(index));
        place
    }

    /// The keys on the way, an element of a list as `*`.
    pub(super) fn pattern(&self) -> Vec<&str> {
        self.0
            .iter()
            .map(|step| match step {
                Step::Key(key) => key.as_str(),
                Step::Index(_) => "*",
            })
            .collect()
    }

    fn parent(&self) -> Place {
        Place(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The tree, and what is known of where its values came from.
pub(super) struct Document<'i> {
    /// The text it was read from.
    pub(super) source: Arc<Source>,
    /// The values.
    pub(super) table: DeTable<'i>,
    variables: Vec<String>,
    tainted: Vec<Place>,
}

impl<'i> Document<'i> {
    pub(super) fn new(source: Arc<Source>, table: DeTable<'i>) -> Document<'i> {
        Document { source, table, variables: Vec::new(), tainted: Vec::new() }
    }

    /// The value there.
    pub(super) fn get(&self, place: &Place) -> Option<&DeValue<'i>> {
        self.find(place).map(Spanned::get_ref)
    }

    /// Claims that there is a value there.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.find(place).is_some()
    }

    /// Where the value stands; where it is absent, the nearest table around it.
    pub(super) fn locate(&self, place: &Place) -> Location {
        let mut place = place.clone();
        while !place.0.is_empty() {
            if let Some(value) = self.find(&place)
                && !value.span().is_empty()
            {
                return self.location(value.span());
            }
            place = place.parent();
        }
        Location::Whole(self.source.clone())
    }

    /// Where the key itself stands.
    pub(super) fn locate_key(&self, place: &Place) -> Location {
        let parent = place.parent();
        let table = self.get(&parent).and_then(DeValue::as_table);
        match (table, place.0.last()) {
            (Some(table), Some(Step::Key(key))) => match table.get_key_value(key.as_str()) {
                Some((key, _)) => self.location(key.span()),
                None => self.locate(place),
            },
            _ => self.locate(place),
        }
    }

    /// What the span stands for.
    pub(super) fn location(&self, span: Range<usize>) -> Location {
        match span.start.checked_sub(VARIABLES_FROM).and_then(|at| self.variables.get(at)) {
            Some(name) => Location::Variable(name.clone()),
            None => Location::Text(self.source.clone(), span),
        }
    }

    /// Puts the text of a variable there.
    ///
    /// False when the way there leads through something that is not a table.
    pub(super) fn insert(&mut self, keys: &[String], variable: &str, value: DeValue<'i>) -> bool {
        let span = VARIABLES_FROM + self.variables.len()..VARIABLES_FROM + self.variables.len() + 1;
        let Some((last, way)) = keys.split_last() else { return false };
        let mut table = &mut self.table;
        for key in way {
            let entry = table
                .entry(Spanned::new(span.clone(), Cow::Owned(key.clone())))
                .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
            let DeValue::Table(inner) = entry.get_mut() else { return false };
            table = inner;
        }
        let value = match value {
            DeValue::Array(list) => DeValue::Array(
                list.into_iter().map(|inner| Spanned::new(span.clone(), inner.into_inner())).collect(),
            ),
            other => other,
        };
        // Taken out first: an entry that is written over would keep its old key and that key's place.
        table.remove(last.as_str());
        table.insert(Spanned::new(span.clone(), Cow::Owned(last.clone())), Spanned::new(span, value));
        self.variables.push(variable.to_owned());
        true
    }

    /// Takes out the value with this span, or the key with it, and says what it was.
    pub(super) fn remove(&mut self, span: &Range<usize>) -> Option<(Place, Option<&'static str>)> {
        let place = self.place_of(span)?;
        let kind = self.get(&place).map(DeValue::type_str);
        let parent = place.parent();
        match place.0.last()? {
            Step::Key(key) => drop(table_mut(&mut self.table, &parent.0)?.remove(key.as_str())),
            Step::Index(index) => match find_mut(&mut self.table, &parent.0)?.get_mut() {
                DeValue::Array(list) => *list = without(list, *index),
                _ => return None,
            },
        }
        self.tainted.push(parent);
        Some((place, kind))
    }

    /// Claims that something wrong was taken out of the table there: what seems to be missing may
    /// only be misspelt.
    pub(super) fn is_tainted(&self, place: &Place) -> bool {
        self.tainted.contains(place)
    }

    /// Calls `change` on every text.
    pub(super) fn for_each_text(&mut self, change: &mut impl FnMut(&Place, &mut Spanned<DeValue<'i>>)) {
        for (key, value) in self.table.iter_mut() {
            walk(&Place::of(&[key.get_ref()]), value, change);
        }
    }

    fn find(&self, place: &Place) -> Option<&Spanned<DeValue<'i>>> {
        let (first, rest) = place.0.split_first()?;
        let Step::Key(key) = first else { return None };
        let mut value = self.table.get(key.as_str())?;
        for step in rest {
            value = match step {
                Step::Key(key) => value.get_ref().as_table()?.get(key.as_str())?,
                Step::Index(index) => value.get_ref().get(*index)?,
            };
        }
        Some(value)
    }

    fn place_of(&self, span: &Range<usize>) -> Option<Place> {
        in_table(&self.table, &Place::default(), span)
    }
}

/// Puts into `table` what only `below` has; tables on both sides are put together down to `depth`.
pub(super) fn underlay<'i>(table: &mut DeTable<'i>, below: &DeTable<'i>, depth: usize) {
    for (key, value) in below.iter() {
        match table.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut) {
            None => drop(table.insert(key.clone(), value.clone())),
            Some(DeValue::Table(inner)) if depth > 0 => {
                if let DeValue::Table(inner_below) = value.get_ref() {
                    underlay(inner, inner_below, depth - 1);
                }
            }
            Some(_) => {}
        }
    }
}

fn walk<'i>(
    place: &Place,
    value: &mut Spanned<DeValue<'i>>,
    change: &mut impl FnMut(&Place, &mut Spanned<DeValue<'i>>),
) {
    match value.get_mut() {
        DeValue::Table(table) => {
            for (key, inner) in table.iter_mut() {
                walk(&place.key(key.get_ref()), inner, change);
            }
        }
        DeValue::Array(list) => {
            for (index, inner) in list.iter_mut().enumerate() {
                walk(&place.index(index), inner, change);
            }
        }
        DeValue::String(_) => change(place, value),
        _ => {}
    }
}

fn in_table<'i>(table: &DeTable<'i>, place: &Place, span: &Range<usize>) -> Option<Place> {
    for (key, value) in table.iter() {
        let here = place.key(key.get_ref());
        if key.span() == *span && !span.is_empty() {
            return Some(here);
        }
        if let Some(found) = in_value(value, &here, span) {
            return Some(found);
        }
    }
    None
}

fn in_value<'i>(value: &Spanned<DeValue<'i>>, place: &Place, span: &Range<usize>) -> Option<Place> {
    let inside = match value.get_ref() {
        DeValue::Table(table) => in_table(table, place, span),
        DeValue::Array(list) => {
            list.iter().enumerate().find_map(|(index, inner)| in_value(inner, &place.index(index), span))
        }
        _ => None,
    };
    inside.or_else(|| (value.span() == *span && !span.is_empty()).then(|| place.clone()))
}

fn find_mut<'a, 'i>(table: &'a mut DeTable<'i>, steps: &[Step]) -> Option<&'a mut Spanned<DeValue<'i>>> {
    let (first, rest) = steps.split_first()?;
    let Step::Key(key) = first else { return None };
    let mut value = table.get_mut(key.as_str())?;
    for step in rest {
        value = match (step, value.get_mut()) {
            (Step::Key(key), DeValue::Table(inner)) => inner.get_mut(key.as_str())?,
            (Step::Index(index), DeValue::Array(list)) => list.get_mut(*index)?,
            _ => return None,
        };
    }
    Some(value)
}

fn without<'i>(list: &DeArray<'i>, index: usize) -> DeArray<'i> {
    let rest = list.iter().enumerate().filter(|(at, _)| *at != index);
    rest.map(|(_, value)| value.clone()).collect()
}

fn table_mut<'a, 'i>(table: &'a mut DeTable<'i>, steps: &[Step]) -> Option<&'a mut DeTable<'i>> {
    if steps.is_empty() {
        return Some(table);
    }
    match find_mut(table, steps)?.get_mut() {
        DeValue::Table(inner) => Some(inner),
        _ => None,
    }
}
