//! The front end from bytes to model: what is read, what is printed, and that no bytes make it panic.

use super::*;
use crate::diagnostic::{Position, Severity};
use proptest::prelude::*;

fn model(text: &str) -> Model {
    read_param("test.param", text.as_bytes()).unwrap_or_else(|problems| panic!("{text}\n{}", render(&problems)))
}

fn render(problems: &[Diagnostic]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// Everything but places and warnings.
fn substance(model: &Model) -> Model {
    let nowhere = Location { path: String::new(), position: Position::File };
    let mut bare = Model { warnings: Vec::new(), ..model.clone() };
    for layer in &mut bare.layers {
        layer.location = nowhere.clone();
    }
    bare
}

const SMALL: &str = "7767517\n3 4\n\
    Input in0 0 1 in0 0=4 1=4 2=3 -23330=4,3,4,4,3\n\
    Convolution conv 1 1 in0 1 0=8 1=3 -23310=2,0.0,6.0 9=3 31=64 \n\
    Split split 1 2 1 out0 out1 3=1,2 4=-0.5, 5=\"a b\" 6=bare 30=3,2,2,1,8,1,7,0,0,0 -23307=0\n";

#[test]
fn a_model_is_read() {
    let model = model(SMALL);
    assert_eq!(model.warnings, []);
    assert_eq!(model.outputs(), [BlobId(2), BlobId(3)]);
    assert_eq!(model.blob(BlobId(0)).shape_hint, Some(vec![3, 4, 4]));
    assert_eq!(model.blob(BlobId(1)).consumers, [2]);
    assert_eq!(model.blob(BlobId(2)).shape_hint, Some(vec![8, 2, 2]));
    assert_eq!(model.blob(BlobId(3)).shape_hint, Some(vec![7]));
    let conv = &model.layers[1];
    assert_eq!((conv.kind.as_str(), conv.name.as_str()), ("Convolution", "conv"));
    assert_eq!(conv.parameters.feature_mask(), 64);
    assert_eq!(conv.parameters.floats(10), [0.0, 6.0]);
    assert_eq!(conv.parameters.location(1), Some(problems::Place { line: 4, column: 32 }.in_file("test.param")));
    let split = &model.layers[2].parameters;
    assert_eq!((split.ints(3), split.floats(4)), (vec![1, 2], vec![-0.5]));
    assert_eq!((split.string(5), split.string(6)), (Some("a b"), Some("bare")));
    assert!(split.has(7) && split.words(7).is_empty());
}

#[test]
fn blanks_are_those_of_c() {
    let odd = "7767517 3\t4\r\n\r\n  Input\tin0 \x0b0 1 in0\t0=4 1=4 2=3 -23330=4,3,4,4,3\r\n\
        Convolution conv 1 1 in0 1 0=8 1=3 -23310=2,0.0,6.0 9=3 31=64\t\r\n\n\
        Split split 1 2 1 out0 out1 3=1,2 4=-0.5, 5=\"a b\" 6=bare 30=3,2,2,1,8,1,7,0,0,0 -23307=0";
    assert_eq!(substance(&model(odd)), substance(&model(SMALL)));
}

#[test]
fn lines_may_be_broken_before_the_last_blob() {
    let broken = "7767517\n3 4\n\
        Input\nin0 0 1\n\n in0 0=4 1=4 2=3 -23330=4,3,4,4,3\n\
        Convolution conv 1\r\n1 in0\r\n1 0=8 1=3 -23310=2,0.0,6.0 9=3 31=64\n\
        Split split 1 2\n1\nout0 out1 3=1,2 4=-0.5, 5=\"a b\" 6=bare 30=3,2,2,1,8,1,7,0,0,0 -23307=0";
    let model = model(broken);
    assert_eq!((substance(&model), &model.warnings[..]), (substance(&self::model(SMALL)), &[][..]));
    assert_eq!(
        model.layers[1].parameters.location(1),
        Some(problems::Place { line: 9, column: 7 }.in_file("test.param"))
    );
}

#[test]
fn a_layer_does_not_continue_another() {
    let start = "7767517\n3 3\nInput a 0 1 a 0=8\n";
    let told = |lines: &str| {
        let problems = read_param("test.param", format!("{start}{lines}\n").as_bytes()).expect_err(lines);
        format!("{lines}\n{}\n", render(&problems))
    };
    let wrong = [
        // Counts that are too large; numbers as names of blobs.
        "ReLU b 1 2 a b\nReLU c 1 1 b c",
        "Concat b 3 1 a\n7 8 9 b\nReLU c 1 1 b c",
        // What is missing.
        "ReLU b\nReLU c 1 1 a c",
        "ReLU\nReLU c 1 1 a c",
        "ReLU b 1 1 a\n0=0.1\nReLU c 1 1 a c",
        "ReLU b 1 1 a\n# b\nReLU c 1 1 a c",
        "ReLU b 1 1 a b\nReLU c 1 1 a\n",
        "ReLU b 1 1 a b\n0=0.1\n1=2 2=3",
        // A fault on the second line.
        "ReLU b 1 1\na b 0=x\nReLU c x\n1 b c",
    ];
    insta::assert_snapshot!(wrong.map(told).concat());
}

#[test]
fn the_text_form_reads_back() {
    let first = model(SMALL);
    assert_eq!(substance(&model(&first.to_string())), substance(&first));
}

/// The binary form of the same network as [`SMALL`], without strings.
fn small_binary() -> Vec<u8> {
    let mut words: Vec<i32> = vec![MAGIC, 2, 2];
    words.extend([16, 0, 1, 0, 0, 4, 1, 4, -23330, 4, 3, 4, 4, 3, -233]);
    words.extend([6, 1, 1, 0, 1, 0, 8, 8, 0.5f32.to_bits().cast_signed(), -23405, 3]);
    words.extend([i32::from_le_bytes(*b"abc\0"), -233]);
    words.into_iter().flat_map(i32::to_le_bytes).collect()
}

#[test]
fn a_binary_model_is_read() {
    let model = read_param("test.param.bin", &small_binary()).expect("valid");
    assert_eq!(model.warnings, []);
    assert_eq!(model.blobs.iter().map(|blob| blob.name.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    assert_eq!(model.blobs[0].shape_hint, Some(vec![3, 4, 4]));
    let conv = &model.layers[1];
    assert_eq!((conv.kind.as_str(), conv.name.as_str()), ("Convolution", "Convolution_1"));
    assert_eq!((conv.parameters.int(0, 0), conv.parameters.float(8, 0.0)), (8, 0.5));
    assert_eq!(conv.parameters.string(5), Some("abc"));
    insta::assert_snapshot!(model);
}

#[test]
fn every_cut_of_a_binary_model_is_reported() {
    let bytes = small_binary();
    for length in 0..bytes.len() {
        let problems = read_param("cut", &bytes[..length]).expect_err("cut");
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error), "{length}");
    }
}

#[test]
fn thousands_of_layers_are_no_matter() {
    let mut text = String::from("7767517\n50000 50000\nInput b0 0 1 b0\n");
    for index in 1..50_000 {
        text += &format!("ReLU r{index} 1 1 b{} b{index} 0=0.1\n", index - 1);
    }
    assert_eq!(model(&text).outputs(), [BlobId(49_999)]);
    // The same upside down: every input is made later.
    let lines: Vec<&str> = text.lines().collect();
    let mut reversed = lines[..2].to_vec();
    reversed.extend(lines[2..].iter().rev());
    let problems = read_param("test", reversed.join("\n").as_bytes()).expect_err("upside down");
    assert!(problems.last().expect("some").message.contains("more problems"), "{}", problems.len());
}

/// Some value a text file can hold.
fn value() -> impl Strategy<Value = Value> {
    let finite = any::<f32>().prop_filter("finite", |value| value.is_finite());
    prop_oneof![
        any::<i32>().prop_map(Value::Int),
        finite.clone().prop_map(Value::Float),
        prop::collection::vec(any::<i32>(), 1..5).prop_map(Value::Ints),
        prop::collection::vec(finite, 1..5).prop_map(Value::Floats),
        Just(Value::Words(Vec::new())),
        "[a-z0-9 ,()*+]{0,12}".prop_map(Value::String),
    ]
}

/// A chain of layers with arbitrary parameters, 30 and 31 excepted, which have a form of their own.
fn any_model() -> impl Strategy<Value = Model> {
    let parameters = prop::collection::vec((0u32..30, value()), 0..6);
    prop::collection::vec(("[A-Z][a-z]{0,8}", parameters), 1..8).prop_map(|layers| {
        let location = Location { path: String::new(), position: Position::Line(1, 1) };
        let count = layers.len();
        let layers = layers.into_iter().enumerate().map(|(index, (kind, values))| {
            let mut parameters = Parameters::new("".into());
            for (id, value) in values {
                parameters.set(id, value, problems::Place { line: 1, column: 1 });
            }
            let inputs = index.checked_sub(1).map(BlobId).into_iter().collect();
            let outputs = vec![BlobId(index)];
            let name = format!("layer{index}");
            Layer { kind, name, inputs, outputs, parameters, location: location.clone(), weights: Vec::new() }
        });
        let blob = |index: usize| {
            let consumers = (index + 1 < count).then_some(index + 1).into_iter().collect();
            Blob { name: format!("blob{index}"), producer: index, consumers, shape_hint: None }
        };
        Model { layers: layers.collect(), blobs: (0..count).map(blob).collect(), warnings: Vec::new() }
    })
}

proptest! {
    #[test]
    fn any_model_reads_back_from_its_text(first in any_model()) {
        prop_assert_eq!(substance(&model(&first.to_string())), substance(&first));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_param("any", &bytes);
        let _ = read_param("any", &[&MAGIC.to_le_bytes()[..], &bytes].concat());
        let _ = read_param("any", &[b"7767517 3 3 ", &bytes[..]].concat());
    }

    #[test]
    fn any_words_are_survived(words in prop::collection::vec("[-A-z0-9=,.\"e \n\t\r#é]{0,12}", 0..40)) {
        let _ = read_param("any", format!("7767517\n4 4\n{}", words.join(" ")).as_bytes());
    }

    #[test]
    fn damaged_models_are_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        for whole in [SMALL.as_bytes().to_vec(), small_binary()] {
            let mut bytes = whole;
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let _ = read_param("damaged", &bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = read_param("damaged", &bytes);
        }
    }

    #[test]
    fn any_weights_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64), count in any::<usize>(), tag in 0usize..8) {
        const TAGS: [u32; 8] = [0, 0x0002_c056, 0x0130_6b47, 0x0134_8b83, 0x000d_4b38, 1, 2, u32::MAX];
        let file = [&TAGS[tag].to_le_bytes()[..], &bytes].concat();
        for count in [count, count % 70] {
            let mut one = model("7767517\n1 1\nMemoryData m 0 1 m\n");
            let _ = read_weights(&mut one, "any", &file, &|_, reader| Ok(vec![reader.tagged(count).map_err(|p| vec![p])?]));
            let _ = read_weights(&mut one, "any", &file, &|_, reader| Ok(vec![reader.raw(count).map_err(|p| vec![p])?]));
            let _ = read_weights(&mut one, "any", &file, &|_, reader| Ok(vec![reader.bytes(count).map_err(|p| vec![p])?]));
        }
    }

    #[test]
    fn floats_are_read_to_within_an_ulp(value in any::<f32>().prop_filter("finite", |value| value.is_finite())) {
        let read = number::float(&format!("{value:.7e}")).expect("a literal");
        let nearest: f32 = format!("{value:.7e}").parse().expect("a literal");
        prop_assert!(read.to_bits().abs_diff(nearest.to_bits()) <= 1, "{value:e}");
    }
}

#[test]
fn the_kinds_of_weights_are_read() {
    let half = |bits: u16| bits.to_le_bytes();
    let mut file = Vec::new();
    file.extend(0u32.to_le_bytes());
    file.extend([1.5f32, -0.0].into_iter().flat_map(f32::to_le_bytes));
    file.extend(0x0130_6b47u32.to_le_bytes());
    file.extend([half(0x3c00), half(0x0001), half(0xfbff), half(0x2283)].concat());
    file.extend(0x0134_8b83u32.to_le_bytes());
    file.extend([half(0x3f80), half(0x0001)].concat());
    file.extend(0x000d_4b38u32.to_le_bytes());
    file.extend([1, 0x80, 0x7f, 0xff, 5, 0, 0, 0]);
    file.extend(1u32.to_le_bytes());
    file.extend((0..256).map(|index| index as f32 / 2.0).flat_map(f32::to_le_bytes));
    file.extend([255, 3, 0, 0]);
    file.extend([9, 8, 7, 6, 5, 0, 0, 0]);
    file.extend(2.5f32.to_le_bytes());
    let mut one = model("7767517\n1 1\nMemoryData m 0 1 m\n");
    let read = |_: &Layer, reader: &mut WeightReader| {
        let mut all = Vec::new();
        for count in [2, 3, 2, 5, 2] {
            all.push(reader.tagged(count).map_err(|problem| vec![problem])?);
        }
        all.push(reader.bytes(5).map_err(|problem| vec![problem])?);
        all.push(reader.raw(1).map_err(|problem| vec![problem])?);
        Ok(all)
    };
    read_weights(&mut one, "test.bin", &file, &read).expect("all of it");
    let weights = &one.layers[0].weights;
    let denormal = f32::from_bits(0x3380_0000);
    assert_eq!(weights[0].values().iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [0x3fc0_0000, 0x8000_0000]);
    assert_eq!(weights[1].to_f32(), [1.0, denormal, -65504.0]);
    assert_eq!(weights[2].to_f32(), [1.0, f32::from_bits(0x0001_0000)]);
    assert_eq!(weights[3].int8().map(|values| values.to_vec()), Some(vec![1, -128, 127, -1, 5]));
    assert_eq!(weights[4].to_f32(), [127.5, 1.5]);
    assert_eq!(weights[5].bytes().map(|values| values.to_vec()), Some(vec![9, 8, 7, 6, 5]));
    assert_eq!(weights[6].to_f32(), [2.5]);
    let kinds: Vec<Storage> = weights.iter().map(|weights| weights.storage).collect();
    use Storage::*;
    assert_eq!(kinds, [F32, F16, Bf16, Int8, Table, Bytes, F32]);
    for length in 0..file.len() {
        read_weights(&mut one, "test.bin", &file[..length], &read).expect_err("cut");
    }
    file.push(0);
    let left = read_weights(&mut one, "test.bin", &file, &read).expect_err("one byte too many");
    let end = Position::Byte(u32::try_from(file.len() - 1).expect("a small file"));
    assert_eq!(left[0].location.as_ref().map(|location| location.position), Some(end));
}
