//! What a verification measures: by hand on the smallest model, and the case the project was founded on.

use ncnnc_compiler::budget::Budget;
use ncnnc_compiler::compile::{File, Network, Options};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::mode::Mode;
use ncnnc_compiler::precision::{Exception, Precision};
use ncnnc_compiler::verify::{
    CauseKind, Chosen, Contender, Entry, Figures, Record, Report, Samples, Search, Subject, history_html, history_text,
    html, json, text, verify,
};
use ncnnc_tests::npy::{Tensor, Type};
use ncnnc_tests::shared::workspace;
use ncnnc_tests::synth::synth;
use std::collections::HashMap;

/// Pictures of the digits that are measured, those that PyTorch is least sure of: where one probability is all but 1,
/// softmax hides every error.
const PICTURES: usize = 30;

/// `sum = 1 x + 1 y`.
const SUM: &str = "7767517
2 2
Input        terms  0 1 terms 0=2
InnerProduct sum    1 1 terms sum 0=1 1=0 2=2
";

fn subject(param: &[u8], weights: &[u8], original: Option<&[u8]>, options: &Options) -> Subject {
    let file = |path, bytes| File { path, bytes };
    let original = original.map(|bytes| file("original.bin", bytes));
    Subject::new(file("model.param", param), file("model.bin", weights), original, options)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<String>()))
}

/// The sum of two numbers.
fn sum() -> Subject {
    let words = [0, 1.0_f32.to_bits(), 1.0_f32.to_bits()];
    let weights: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    subject(SUM.as_bytes(), &weights, None, &Options::default())
}

fn measured(subject: &Subject, samples: &Samples, max_error: Option<Budget>) -> Report {
    verify(subject, samples, max_error, &mut |_| {})
}

/// The digits in a `.bin` of this width, with PyTorch's answers to the first pictures.
fn digits(width: &str, original: Option<&str>, mode: Mode) -> (Subject, Samples) {
    digits_with(width, original, Options { mode, ..Options::default() })
}

/// The same with constants stored so.
fn digits_stored(width: &str, original: Option<&str>, mode: Mode, precision: Precision) -> (Subject, Samples) {
    digits_with(width, original, Options { mode, precision, ..Options::default() })
}

/// The same with other options.
fn digits_with(width: &str, original: Option<&str>, options: Options) -> (Subject, Samples) {
    let folder = workspace().join("runtime/examples/digits");
    let read = |name: String| std::fs::read(folder.join(name)).expect("the example's file");
    let shapes = HashMap::from([("in0".to_string(), vec![1, 8, 8])]);
    let options = Options { shapes, ..options };
    let weights = |width: &str| read(format!("digits.{width}.bin"));
    let original = original.map(weights);
    let subject = subject(&read(format!("digits.{width}.param")), &weights(width), original.as_deref(), &options);
    let values = |name: &str| Tensor::read(&folder.join(name));
    let answers = values("digits_test_pytorch_probs.npy").values();
    let sure = |picture: &usize| answers[picture * 10..][..10].iter().copied().fold(0.0, f32::max);
    let mut pictures: Vec<usize> = (0..answers.len() / 10).collect();
    pictures.sort_by(|a, b| sure(a).total_cmp(&sure(b)));
    pictures.truncate(PICTURES);
    let chosen = |values: &[f32], each: usize| -> Vec<f32> {
        pictures.iter().flat_map(|picture| values[picture * each..][..each].to_vec()).collect()
    };
    let images = chosen(&values("digits_test_images.npy").values(), 64);
    let answers = chosen(&answers, 10);
    let labels = values("digits_test_labels.npy");
    assert_eq!(labels.element, Type::Integer);
    let labels = pictures.iter().map(|picture| labels.words[*picture] as usize).collect();
    let samples = Samples::given(&subject, &[("in0".to_string(), images)]).expect("inputs that fit");
    let samples = samples.expecting(&subject, "out0", &answers).expect("answers that fit");
    (subject, samples.labelled(labels).expect("as many labels"))
}

/// How far a contender's first output is from the user's reference.
fn from_reference(report: &Report, contender: Contender) -> &Figures {
    let mut contenders = report.outputs[0].contenders.iter();
    let found = contenders.find(|report| report.contender == contender).expect("it is there");
    &found.from_reference.as_ref().expect("a reference was given").figures
}

fn moves(report: &Report, kind: CauseKind) -> f64 {
    report.causes.iter().find(|cause| cause.cause == kind).expect("the cause applies").moves
}

#[test]
fn figures_by_hand() {
    let subject = sum();
    // 1 + 2^-24 + 2^-30 lies next to 1 + 2^-23, which is 2^-24 - 2^-30 too large.
    let term = 2.0_f32.powi(-24) + 2.0_f32.powi(-30);
    let samples = Samples::given(&subject, &[("terms".to_string(), vec![1.0, term, 4.0, 4.0])]).expect("two samples");
    let report = measured(&subject, &samples, None);
    let error = 2.0_f64.powi(-24) - 2.0_f64.powi(-30);
    let [layer] = &report.layers[..] else { panic!("one layer") };
    assert_eq!((layer.layers.join(" "), layer.kinds.join(" ")), ("sum".into(), "InnerProduct".into()));
    for figures in [&layer.local, &layer.cumulative] {
        assert_eq!((figures.elements, figures.max_abs, figures.largest), (2, error, 8.0));
        assert_eq!(figures.max_ulp, 0.5 - 2.0_f64.powi(-7));
        let snr = 10.0 * ((1.0 + f64::from(term)).powi(2) + 64.0).log10() - 20.0 * error.log10();
        assert!((figures.snr_db.expect("one differs") - snr).abs() < 1e-9);
    }
    // The two roundings of 4 + 4: half a unit of 4, then half a unit of 8.
    let bound = layer.bound.expect("a sum has one");
    assert!((bound - 12.0 * 2.0_f64.powi(-24)).abs() < 1e-12, "{bound}");
    assert!((layer.bound_used.expect("a sum has one") - 0.492).abs() < 1e-3);
    assert_eq!(layer.activations_in_f16.headroom, Some(8188.0));
    assert_eq!(report.causes[0].moves, error);
    assert_eq!(report.verdict.tolerance, 8.9e-8);
    assert!(report.verdict.passed);
    assert!(!measured(&subject, &samples, Some(Budget::Absolute(1e-9))).verdict.passed);
}

/// What is rounded between layers is a cause that can be switched off alone, each layer's part of it is within its bound, and
/// the advice names the layer whose part is the largest.
#[test]
fn activation_storage_is_a_cause() {
    let activations = Precision { all: Format::F16, exceptions: vec![Exception::of_layer("linear_13", Format::Bf16)] };
    let options = Options { activations, ..Options::default() };
    let (subject, samples) = digits_with("fp32", None, options);
    let report = measured(&subject, &samples, None);
    let cause = &report.causes[0];
    assert_eq!(cause.cause, CauseKind::ActivationStorage, "{}", text(&report));
    assert!(cause.moves > 1e-4 && cause.left.expect("it is switched off") < 2e-6, "{}", text(&report));
    assert!(report.causes.iter().all(|cause| cause.cause != CauseKind::ConstantStorage));
    assert!(report.layers.iter().all(|layer| layer.stored_in_plan.is_none()));
    for layer in &report.layers {
        assert!(layer.bound_used.expect("there are no routines") <= 1.0, "{:?}", layer.layers);
    }
    let narrow: Vec<String> = (report.layers.iter().flat_map(|layer| &layer.narrow_outputs))
        .map(|output| format!("{} of {} in {}", output.name, output.layer, output.format))
        .collect();
    assert_eq!(narrow.len(), 12, "{narrow:?}");
    for output in ["8 of maxpool2d_14 in f16", "20 of linear_13 in bf16"] {
        assert!(narrow.contains(&output.to_string()), "{output} in {narrow:?}");
    }
    assert!(text(&report).contains("\nstored in f16: "));
    let lines: Vec<&str> = report.advice.iter().filter_map(|advice| advice.macro_line.as_deref()).collect();
    let wider = |line: &&str| line.starts_with("activations(") && line.ends_with(" = f32;");
    assert!(lines.len() == 2 && lines.iter().all(wider), "{lines:?}");
    let expected = r#"numerics = fast; precision = f32; activations = f16; activations("linear_13") = bf16"#;
    assert_eq!(report.options, expected);
}

/// Sums that f16 has no room for.
#[test]
fn what_activations_have_no_room_for_is_said() {
    let param =
        "7767517\n3 3\nInput in0 0 1 in0 0=2\nCumulativeSum sums 1 1 in0 a 0=0\nReduction all 1 1 a out0 0=4 1=1\n";
    let activations = Precision::of_all(Format::F16);
    let subject = subject(param.as_bytes(), &[], None, &Options { activations, ..Options::default() });
    let samples = Samples::given(&subject, &[("in0".to_string(), vec![40_000.0, 40_000.0])]).expect("a sample");
    let report = measured(&subject, &samples, None);
    assert!(!report.verdict.passed);
    assert_eq!(report.advice[0].macro_line.as_deref(), Some(r#"activations("sums") = bf16;"#));
    assert_eq!(report.advice[0].reason, "`a` has values that f16 has no room for, which become infinite");
}

/// A report small enough to be read whole.
fn small_report() -> Report {
    let subject = sum();
    let term = 2.0_f32.powi(-24) + 2.0_f32.powi(-30);
    let samples = Samples::given(&subject, &[("terms".to_string(), vec![1.0, term, 4.0, 4.0])]).expect("two samples");
    let samples = samples.expecting(&subject, "sum", &[1.0, 8.0]).expect("answers that fit");
    measured(&subject, &samples, None)
}

#[test]
fn a_report_reads_well() {
    let report = small_report();
    let table = text(&report);
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    insta::assert_snapshot!("report_text", table);
    insta::assert_snapshot!("report_json", json(&report));
    insta::assert_snapshot!("record", Record::of(&report).text());
}

/// Every tag that is opened is closed in its turn, but for those of HTML that have no end.
fn well_formed(page: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').ok_or_else(|| format!("no end of `{part}`"))?;
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(end) if open.pop() != Some(end) => return Err(format!("`{end}` ends what is not open")),
            Some(_) => {}
            None if name.starts_with('!') || name == "meta" => {}
            None => open.push(name),
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} are not closed")) }
}

#[test]
fn pages_are_well_formed_and_stand_alone() {
    let mut report = small_report();
    report.model = "<script>alert(\"&\")</script>".to_string();
    let entries = [Entry::of(&Record::of(&report), 0), Entry::of(&Record::of(&report), 86_400)];
    for page in [html(&report), history_html(&report.model, &entries)] {
        well_formed(&page).unwrap_or_else(|problem| panic!("{problem}\n{page}"));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        assert!(!page.contains("http") && !page.contains("url("), "a page needs no other file\n{page}");
    }
    well_formed("<p><b></p></b>").expect_err("crossed");
    well_formed("<p>").expect_err("open");
    insta::assert_snapshot!("history", history_text(&entries));
}

#[test]
fn a_record_holds_later_runs() {
    let record = Record::of(&small_report());
    assert_eq!(Record::read("sum.precision.lock", &record.text()), Ok(record.clone()));
    assert_eq!(record.differences(&record), Vec::<String>::new());
    let mut worse = record.clone();
    worse.lines[0].max_abs *= 3.0;
    worse.lines[0].name = "total".to_string();
    worse.lines[1].max_abs *= 2.0;
    worse.lines[1].bits = "other".to_string();
    worse.head.options = "numerics = strict".to_string();
    insta::assert_snapshot!("record_differences", worse.differences(&record).join("\n"));
    let mut better = record.clone();
    better.lines[1].max_abs /= 2.0;
    assert_eq!(better.differences(&record), Vec::<String>::new());
    let problems = ["", "{}", "{\"precision_lock\": 1", &(record.text() + "{\"of\":\"tensor\"}\n")]
        .map(|text| Record::read("sum.precision.lock", text).expect_err("no record").to_string());
    insta::assert_snapshot!("record_problems", problems.join("\n"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let subject = sum();
    let given = |name: &str, values: &[f32]| Samples::given(&subject, &[(name.to_string(), values.to_vec())]);
    let fed = given("terms", &[1.0, 2.0]).expect("one sample");
    let problems = [
        given("term", &[1.0, 2.0]).expect_err("no such input"),
        given("terms", &[1.0, 2.0, 3.0]).expect_err("one and a half samples"),
        given("terms", &[1.0, f32::NAN]).expect_err("no number"),
        vec![fed.clone().expecting(&subject, "total", &[1.0]).expect_err("no such output")],
        vec![fed.clone().expecting(&subject, "sum", &[1.0, 2.0]).expect_err("two for one sample")],
        vec![fed.clone().expecting(&subject, "sum", &[f32::INFINITY]).expect_err("not finite")],
        vec![fed.labelled(vec![0, 0]).expect_err("two for one sample")],
    ];
    let text: Vec<String> = problems.iter().flatten().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn wide_constants_need_no_excuse() {
    let (subject, samples) = digits("fp32", None, Mode::Fast);
    let report = measured(&subject, &samples, Some(Budget::Absolute(1e-5)));
    println!("{}", text(&report));
    assert!(report.verdict.passed, "{}", report.verdict.text);
    let (plan, ncnn) = (from_reference(&report, Contender::Plan), from_reference(&report, Contender::NcnnX86));
    assert!(plan.max_abs < 3e-6, "{}", plan.max_abs);
    // The same file, and yet: ncnn rounds the weights of the last layer on its own.
    assert!(ncnn.max_abs > 20.0 * plan.max_abs, "{} and {}", ncnn.max_abs, plan.max_abs);
    assert!(report.advice.iter().any(|advice| advice.reason.contains("ncnn prints something else")));
    for layer in &report.layers {
        let used = layer.bound_used.expect("the digits have no routines");
        assert!(used <= 1.0, "{}: {used}", layer.layers.join(" + "));
    }
}

#[test]
fn narrow_constants_are_found_out() {
    let (subject, samples) = digits("fp16", Some("fp32"), Mode::Strict);
    let known = measured(&subject, &samples, Some(Budget::Absolute(1e-5)));
    println!("{}", text(&known));
    assert!(!known.verdict.passed, "{}", known.verdict.text);
    let error = from_reference(&known, Contender::Plan).max_abs;
    assert!(error > 1e-4, "{error}");
    let file = moves(&known, CauseKind::ConstantsInFile);
    assert!((file - error).abs() < 0.05 * error, "{file} of {error}");
    assert!(moves(&known, CauseKind::Rounding) < 0.01 * error);
    assert_eq!(known.causes[0].cause, CauseKind::ConstantsInFile);
    // Without the original the same cause is found by drawing it.
    let (subject, samples) = digits("fp16", None, Mode::Strict);
    let estimated = measured(&subject, &samples, None);
    let drawn = moves(&estimated, CauseKind::ConstantsInFile);
    assert!(drawn > error / 4.0 && drawn < error * 4.0, "{drawn} for {error}");
    assert!(estimated.verdict.text.contains("the constants as the file stores them"), "{}", estimated.verdict.text);
}

/// A network with 224x224 inputs from the folder of models that `make_models.py` wrote: the same weights in f32 and in f16.
/// `NCNNC_PEERS=DIR cargo test --release -p ncnnc-tests --test verify -- --ignored --nocapture`
#[test]
#[ignore = "needs exported networks in $NCNNC_PEERS"]
fn an_image_network_tells_the_same_story() {
    let folder = std::path::PathBuf::from(std::env::var_os("NCNNC_PEERS").expect("NCNNC_PEERS names a folder"));
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file of the folder");
    let values = |name: &str| Tensor::read(&folder.join(name)).values();
    let report = |width: &str, original: Option<&str>| {
        let shapes = HashMap::from([("in0".to_string(), vec![3, 224, 224])]);
        let options = Options { shapes, ..Options::default() };
        let [param, weights] = ["param", "bin"].map(|ending| read(&format!("resnet18.{width}.{ending}")));
        let original = original.map(read);
        let subject = subject(&param, &weights, original.as_deref(), &options);
        let samples = Samples::given(&subject, &[("in0".to_string(), values("resnet18_in.npy"))]).expect("an image");
        let samples = samples.expecting(&subject, "out0", &values("resnet18_out.npy")).expect("an answer");
        let report = measured(&subject, &samples, Some(Budget::Absolute(1e-4)));
        println!("{}", text(&report));
        report
    };
    let wide = report("fp32", None);
    assert!(wide.verdict.passed && from_reference(&wide, Contender::Plan).max_abs < 1e-5, "{}", wide.verdict.text);
    let ncnn = from_reference(&wide, Contender::NcnnX86).max_abs;
    assert!((5e-4..1e-3).contains(&ncnn), "ncnn narrows on its own: {ncnn:e}");
    assert!(moves(&wide, CauseKind::Algorithm) > 0.0, "some of its convolutions go by Winograd's algorithm");
    let narrow = report("fp16", Some("resnet18.fp32.bin"));
    let error = from_reference(&narrow, Contender::Plan).max_abs;
    assert!(!narrow.verdict.passed && error > 5e-4, "{error:e}");
    let file = moves(&narrow, CauseKind::ConstantsInFile);
    assert!((file - error).abs() < 0.05 * error, "{file:e} of {error:e}");
    assert_eq!(narrow.causes[0].cause, CauseKind::ConstantsInFile);
}

#[test]
fn storage_is_told_from_rounding() {
    let (subject, samples) = digits_stored("fp32", None, Mode::Fast, Precision::of_all(Format::Bf16));
    let report = measured(&subject, &samples, None);
    assert_eq!(report.causes[0].cause, CauseKind::ConstantStorage);
    let error = from_reference(&report, Contender::Plan).max_abs;
    assert!((moves(&report, CauseKind::ConstantStorage) - error).abs() < 0.05 * error);
    assert!(report.causes[0].left.expect("the rest is rounding") < 1e-5);
    let lines: Vec<&str> = report.advice.iter().filter_map(|advice| advice.macro_line.as_deref()).collect();
    assert!(lines.iter().any(|line| line.starts_with("precision(") && line.ends_with(") = f32;")), "{lines:?}");
    assert_eq!(report.options, "numerics = fast; precision = bf16");
}

/// Four layers with weights: one of them takes no f16, one no bf16, and two share what they multiply by with nobody.
const STORABLE: &str = "7767517
6 6
Input        in0     0 1 in0 0=6 1=6 2=4
Convolution  first   1 1 in0 a 0=8 1=3 4=1 5=1 6=288 9=1
Convolution  masked  1 1 a b 0=8 1=1 5=1 6=64 31=2
Convolution  second  1 1 b c 0=8 1=1 5=1 6=64 31=4
InnerProduct fc      1 1 c d 0=5 1=1 2=1440
Softmax      prob    1 1 d prob 0=0 1=1
";

/// What a search finds for a model.
fn chosen(param: &str, weights: &[u8], options: &Options, samples: &Samples, budget: Budget) -> Chosen {
    let file = |bytes| File { path: "model", bytes };
    let network = Network::new(file(param.as_bytes()), file(weights), options, options.mode).map_err(|_| ());
    let (network, subject) = (&network.expect("a model"), &subject(param.as_bytes(), weights, None, options));
    Search { subject, network, fixed: &options.precision, samples, budget }.run(&mut |_, _| {})
}

#[test]
fn the_smallest_storage_is_found() {
    let weights = synth(STORABLE, 3, 1.0);
    let samples = Samples::random(&subject(STORABLE.as_bytes(), &weights, None, &Options::default()), 3, 1);
    let formats = [
        ("first", Format::F16, 288),
        ("masked", Format::Bf16, 64),
        ("second", Format::F16, 64),
        ("fc", Format::F16, 1440),
    ];
    let all = Precision {
        all: Format::Word,
        exceptions: formats.map(|(name, format, _)| Exception::of_layer(name, format)).to_vec(),
    };
    let errors = |precision: Precision| {
        let options = Options { precision, ..Options::default() };
        let report = measured(&subject(STORABLE.as_bytes(), &weights, None, &options), &samples, None);
        report.outputs[0].contenders[0].from_definition.as_ref().expect("it has one").figures.max_abs
    };
    // All sixteen choices, by what they save and what they cost.
    let choices: Vec<(u64, f64)> = (0..16_u32)
        .map(|bits| {
            let narrow = || formats.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, layer)| layer);
            let exceptions = narrow().map(|(name, format, _)| Exception::of_layer(name, *format)).collect();
            let saved = narrow().map(|(_, _, numbers)| 2 * numbers).sum();
            (saved, errors(Precision { all: Format::Word, exceptions }))
        })
        .collect();
    let worst = errors(all.clone());
    for share in [1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.01] {
        let limit = worst * share;
        let best = choices.iter().filter(|(_, error)| *error <= limit).map(|(saved, _)| *saved).max().expect("f32");
        let found = chosen(STORABLE, &weights, &Options::default(), &samples, Budget::Absolute(limit));
        assert!(found.met, "{}", found.text());
        assert_eq!(found.bytes_in_f32 - found.bytes, best, "within {limit:e}: {}", found.text());
        assert!(errors(found.precision.clone()) <= limit, "{}", found.text());
        assert_eq!(
            found.text(),
            chosen(STORABLE, &weights, &Options::default(), &samples, Budget::Absolute(limit)).text()
        );
    }
    let found = chosen(STORABLE, &weights, &Options::default(), &samples, Budget::Decibels(400.0));
    assert!(!found.met && found.bytes == found.bytes_in_f32, "{}", found.text());
    // What is chosen by hand stays as it is.
    let fixed = Precision { all: Format::Word, exceptions: vec![Exception::of_layer("fc", Format::Bf16)] };
    let options = Options { precision: fixed, ..Options::default() };
    let found = chosen(STORABLE, &weights, &options, &samples, Budget::Absolute(1.0));
    assert_eq!(found.macro_lines, ["precision = f16;", r#"precision("masked", "fc") = bf16;"#]);
}

#[test]
fn digits_are_stored_as_small_as_a_budget_allows() {
    let (wide, samples) = digits("fp32", None, Mode::Fast);
    let samples = Samples { references: Vec::new(), ..samples };
    let read = |name: &str| std::fs::read(workspace().join("runtime/examples/digits").join(name)).expect("a file");
    let (param, weights) = (read("digits.fp32.param"), read("digits.fp32.bin"));
    let shapes = HashMap::from([("in0".to_string(), vec![1, 8, 8])]);
    let options = Options { shapes, ..Options::default() };
    let param = String::from_utf8(param).expect("text");
    let found = |budget| chosen(&param, &weights, &options, &samples, budget);
    let narrow = digits_stored("fp32", None, Mode::Fast, Precision::of_all(Format::F16)).0;
    for budget in [Budget::Absolute(3e-4), Budget::Percent(0.02), Budget::Decibels(85.0)] {
        assert!(!measured(&narrow, &samples, Some(budget)).verdict.passed, "{budget}: f16 alone would do");
        let found = found(budget);
        println!("{}", found.text());
        assert!(found.met && found.bytes < found.bytes_in_f32 * 3 / 4, "{}", found.text());
        let (subject, _) = digits_stored("fp32", None, Mode::Fast, found.precision.clone());
        let report = measured(&subject, &samples, Some(budget));
        assert!(report.verdict.passed, "{}", report.verdict.text);
        assert!(subject.options != wide.options);
    }
}

#[test]
fn layers_that_an_error_comes_from_are_named() {
    let (subject, samples) = digits_stored("fp32", None, Mode::Fast, Precision::of_all(Format::Bf16));
    let within = |budget| measured(&subject, &samples, Some(budget));
    assert!(within(Budget::Absolute(1.0)).layers.iter().all(|layer| layer.moves.is_none()), "nobody needs to know");
    let report = within(Budget::Absolute(1e-4));
    assert!(report.verdict.text.contains("the layers that contribute most: `conv"), "{}", report.verdict.text);
    let moves: Vec<f64> = report.layers.iter().filter_map(|layer| layer.moves).collect();
    let error = report.outputs[0].contenders[0].from_definition.as_ref().expect("it has one").figures.max_abs;
    // Errors of independent roundings add as squares do.
    let together = moves.iter().map(|moves| moves * moves).sum::<f64>().sqrt();
    assert!(together > error / 3.0 && together < error * 3.0, "{moves:?} make {together:e}, not {error:e}");
}

#[test]
fn random_inputs_are_said_to_be_random() {
    let subject = sum();
    let samples = Samples::random(&subject, 3, 7);
    assert_eq!(samples.hash(), Samples::random(&subject, 3, 7).hash());
    assert_ne!(samples.hash(), Samples::random(&subject, 3, 8).hash());
    let report = measured(&subject, &samples, None);
    assert_eq!(report.inputs.random_seed, Some(7));
    assert!(report.warnings.iter().any(|warning| warning.contains("random")), "{:?}", report.warnings);
}
