use two_node_ha_config::*;
fn main() {
    let f = std::env::args().nth(1).unwrap();
    let t = std::fs::read_to_string(&f).unwrap();
    let s = std::time::Instant::now();
    let r = parse_with_warnings(&t, &f, Host::Any);
    eprintln!("{:?}", s.elapsed());
    let s = std::time::Instant::now();
    for _ in 0..1000 {
        let _ = std::hint::black_box(parse_with_warnings(&t, &f, Host::Any));
    }
    eprintln!("warm {:?}", s.elapsed() / 1000);
    match r {
        Ok(p) => print!("{}", p.warnings),
        Err(d) => print!("{d}"),
    }
}
