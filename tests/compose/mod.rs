//! `ohoci compose`, end to end.

#[cfg(test)]
mod authentication;
#[cfg(test)]
mod config;
#[cfg(test)]
mod deps;
#[cfg(test)]
mod families;
#[cfg(test)]
mod following;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod places;
#[cfg(test)]
mod project;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod report;
#[cfg(test)]
mod same_bytes;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod unset;
