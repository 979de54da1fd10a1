//! Looks up the products of a payment.

use std::cell::{Cell, OnceCell};

use ahash::RandomState;
use hashbrown::HashMap;

use crate::event::amount::Amount;
use crate::event::{Fact, LineItem};

/// Up to this many line items are always scanned: a scan is faster than a hash.
const FEW: usize = 16;
/// Look-ups that scan many line items. The map costs about as much as this many scans.
const SCANS: u32 = 8;

/// A product that was paid for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paid {
    /// The greatest amount of its line items; `None` if none has one.
    pub own_amount: Option<Amount>,
}

impl Paid {
    fn and(self, other: Paid) -> Paid {
        Paid {
            own_amount: self.own_amount.max(other.own_amount),
        }
    }
}

impl From<&LineItem<'_>> for Paid {
    fn from(item: &LineItem<'_>) -> Paid {
        Paid {
            own_amount: item.amount,
        }
    }
}

/// The products of one event. The line items of an event that has many of them are hashed once,
/// when the event is compared with many goals.
#[derive(Debug)]
pub struct Products<'e> {
    product_id: Option<&'e str>,
    line_items: &'e [LineItem<'e>],
    scans: Cell<u32>,
    by_product: OnceCell<HashMap<&'e str, Paid, RandomState>>,
}

impl<'e> Products<'e> {
    /// The products of a payment; none for any other fact.
    #[inline]
    pub fn of(fact: &'e Fact<'_>) -> Products<'e> {
        let (product_id, line_items) = match fact {
            Fact::PaymentCompleted {
                product_id,
                line_items,
                ..
            } => (product_id.as_deref(), &line_items[..]),
            _ => (None, &[][..]),
        };
        Products {
            product_id,
            line_items,
            scans: Cell::new(0),
            by_product: OnceCell::new(),
        }
    }

    /// The product, if it is the event's or that of a line item.
    pub fn find(&self, product: &str) -> Option<Paid> {
        let of_event = (self.product_id == Some(product)).then_some(Paid { own_amount: None });
        if self.line_items.is_empty() {
            return of_event;
        }
        self.in_line_items(product).or(of_event)
    }

    fn in_line_items(&self, product: &str) -> Option<Paid> {
        let scans = self.scans.get();
        if self.line_items.len() <= FEW || scans < SCANS {
            self.scans.set(scans.saturating_add(1));
            let matching = self
                .line_items
                .iter()
                .filter(|item| *item.product_id == *product);
            return matching.map(Paid::from).reduce(Paid::and);
        }
        self.by_product
            .get_or_init(|| by_product(self.line_items))
            .get(product)
            .copied()
    }
}

fn by_product<'e>(line_items: &'e [LineItem<'e>]) -> HashMap<&'e str, Paid, RandomState> {
    let mut products = HashMap::with_capacity_and_hasher(line_items.len(), RandomState::new());
    for item in line_items {
        products
            .entry(&*item.product_id)
            .and_modify(|paid: &mut Paid| *paid = paid.and(item.into()))
            .or_insert_with(|| item.into());
    }
    products
}

#[cfg(test)]
mod tests {
    use super::{FEW, Paid, Products, SCANS};
    use crate::event::amount::Amount;
    use crate::event::{Fact, LineItem};

    /// Item n is of product n, or of product 0 if n is even and not 0; it has the amount n if n is
    /// a multiple of 3.
    fn payment(line_items: i64) -> Fact<'static> {
        let item = |number: i64| LineItem {
            product_id: format!("p-{}", number * (number % 2)).into(),
            amount: Amount::from_i64(number).filter(|_| number % 3 == 0),
        };
        Fact::PaymentCompleted {
            amount: None,
            currency: None,
            product_id: Some("p-own".into()),
            line_items: (0..line_items).map(item).collect(),
        }
    }

    #[test]
    fn every_look_up_gives_the_same_answer() {
        for line_items in [0, 1, FEW as i64, FEW as i64 + 1, 2_400] {
            let fact = payment(line_items);
            let products = Products::of(&fact);
            let paid = |amount| Some(Paid { own_amount: amount });
            for _ in 0..3 * SCANS {
                for number in (1..line_items + 2).step_by(2) {
                    let own = Amount::from_i64(number).filter(|_| number % 3 == 0);
                    let expected = if number < line_items { paid(own) } else { None };
                    assert_eq!(products.find(&format!("p-{number}")), expected);
                }
                let last = (0..line_items).rev().find(|number| number % 6 == 0);
                let greatest = last.map(|number| paid(Amount::from_i64(number)));
                assert_eq!(products.find("p-0"), greatest.flatten());
                assert_eq!(products.find("p-own"), paid(None));
                assert_eq!(products.find(""), None);
            }
            assert_eq!(products.by_product.get().is_some(), line_items > FEW as i64);
        }
    }

    #[test]
    fn an_event_without_line_items_has_its_own_product_only() {
        assert_eq!(Products::of(&Fact::ContactDeleted).find("p-own"), None);
        assert!(Products::of(&payment(0)).find("p-own").is_some());
    }
}
