//! Plans, prices and limits.

use insta::assert_snapshot;

use crate::place::{Place, same, text};

#[test]
fn a_plan_is_set_listed_shown_and_deleted() {
    let place = Place::with_organization();
    assert_snapshot!(place.done("plans list"), @r"No plans. Make one with `keyward plans set`.");
    assert_snapshot!(place.done("plans set Premium --requests-per-minute 1000 --limit burst=50/1s"), @r"
    plan           Premium
    from           here
    limit          requests=1000 requests/60s
    limit          burst=50 requests/1s
    default        no
    organizations  0
    ");
    place.done("plans set Enterprise --without-limits");
    place.done("orgs update acme --plan premium");
    assert_snapshot!(place.done("plans list"), @r"
    PLAN        LIMITS                                            FROM  APIS  DEFAULT  ORGANIZATIONS
    Enterprise  none                                              here  -     no       0
    Premium     requests=1000 requests/60s, burst=50 requests/1s  here  -     no       1
    ");
    assert_snapshot!(place.refused("plans delete PREMIUM"), @r"error: 1 organization(s) are on plan `Premium`: put them on another plan first");
    assert_snapshot!(place.refused("orgs update acme --plan Gold"), @r"error: there is no plan `Gold`: `keyward plans list` shows which there are");
    place.done("orgs update acme --no-plan");
    assert_snapshot!(place.done("plans delete PREMIUM"), @r"Plan `PREMIUM` is gone.");
    assert_snapshot!(place.refused("plans show Premium"), @r"error: there is no plan `Premium`: `keyward plans list` shows which there are");
}

#[test]
fn limits_are_read_from_a_file_and_shown_where_they_stand() {
    let place = Place::with_organization();
    place.write("limits.toml", "[[limits]]\nname = \"spend\"\nkind = \"budget\"\namount = \"50\"\nperiod = \"month\"\ncut_streams = true\n\n[[limits]]\nname = \"tokens\"\nkind = \"quota\"\nunit = \"tokens\"\namount = 1000\nperiod = \"day\"\ntime_zone = \"Europe/Berlin\"\nper = [\"key\"]\nmodels = [\"large*\"]\n");
    let shown = place
        .done(&format!("orgs update acme --limits-file {}", place.file("limits.toml").display()));
    assert_snapshot!(same(&shown), @r"
    organization  acme
    name          Acme
    state         active
    model ids     none
    models        every
    plan          the default one
    limits        spend=50.00 cost per month (streams are cut), tokens=1000 tokens per day (days of Europe/Berlin; for each key; at large*)
    created       20xxxxxxxxxxxxxxxxxx
    ");
    let (id, _) = place.key("limited");
    let changed = place.json(&format!("keys update {id} --limit requests=100/60s"));
    assert_eq!(changed["limits"][0]["window_seconds"], 60);
    assert_eq!(text(&changed["limits"][0]["name"]), "requests");
    let twice = place.refused(&format!("keys update {id} --limit a=1/60s --limit a=2/60s"));
    assert_snapshot!(twice, @r"error: two limits are called `a`: give each a name of its own: change the limits");
    assert_eq!(place.run(&format!("keys update {id} --limit a=1/soon")).code, 2);
    let audit = place.json("audit --limit 1");
    assert_eq!(audit["items"][0]["after"]["limits"][0]["amount"], 100);
}

#[test]
fn a_price_is_set_listed_and_deleted() {
    let place = Place::new();
    assert_snapshot!(place.done("prices list"), @r"No prices, so nothing costs anything. Set one with `keyward prices set`.");
    place.done("prices set org/large* --input 2.5 --cached 1.25 --output 10 --most-output 16384");
    assert_snapshot!(place.done("prices list"), @r"
    MODEL       INPUT  CACHED  INTO CACHE  OUTPUT  REASONING  REQUEST  MOST OUTPUT
    org/large*  2.50   1.25    same        10.00   same       0.00     16384
    ");
    assert_snapshot!(place.done("prices delete org/large*"), @r"`org/large*` has no price any more.");
    assert_snapshot!(place.refused("prices delete org/large*"), @r"error: there is no price for `org/large*`: `keyward prices list` shows which there are");
    assert_eq!(place.run("prices set large --input cheap").code, 2);
}
