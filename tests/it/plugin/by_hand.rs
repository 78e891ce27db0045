//! Guests that are put together by hand: what no compiler writes, and what needs no toolchain.

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, InstructionSink, MemorySection, MemoryType, Module, TypeSection, ValType,
};

use super::root;

/// Where a guest finds what, in its one page of memory.
const INFO: i32 = 0x100;
const TOOL: i32 = 0x200;
const RESULT: i32 = 0x300;
const TEXTS: i32 = 0x400;
/// Its answer, which it may change before it gives it.
pub(super) const ANSWER: i32 = 0x1000;
/// Where host functions put their results.
pub(super) const RETURNED: i32 = 0x2000;
/// A line of 4,000 letters with its end.
pub(super) const LINE: i32 = 0x4000;
pub(super) const LINE_BYTES: i32 = 4_001;
/// Where the host puts arguments; there is room for one call's.
const GIVEN: i32 = 0x8000;

/// An import: its interface, its name, what it takes and gives.
pub(super) type Import = (&'static str, &'static str, &'static [ValType], &'static [ValType]);

/// Something that a guest does; it can call its imports by their places in the list.
pub(super) type Body = fn(&mut InstructionSink<'_>);

/// A guest of one tool, `attack`.
#[derive(Clone, Copy)]
pub(super) struct ByHand {
    /// The packages that it imports, in WIT.
    pub packages: &'static str,
    /// What its world says besides the exports.
    pub imported: &'static str,
    pub imports: &'static [Import],
    /// The version of `switchboard:plugin` whose tools it exports.
    pub version: &'static str,
    /// What it does before it says what it is.
    pub describe: Body,
    /// What it does before it answers.
    pub call: Body,
    pub answer: &'static str,
}

/// A guest that imports nothing, does nothing and answers `true`.
pub(super) const NOTHING: ByHand = ByHand {
    packages: "",
    imported: "",
    imports: &[],
    version: "0.2.0",
    describe: |_| {},
    call: |_| {},
    answer: "true",
};

impl ByHand {
    /// The component.
    pub fn component(&self) -> Vec<u8> {
        let guests = std::fs::read(root().join("plugins/test-guests/test-guests.wasm")).expect("the guests");
        // For its type: what resolves WIT can be made empty, but not named here.
        let decoded = wit_component::decode(&guests).expect("a component");
        let wit_component::DecodedWasm::Component(taken, _) = decoded else { panic!("a component") };
        let mut resolve = empty_like(&taken);
        let interface =
            std::fs::read_to_string(root().join("plugins/wit/v0.2.0/plugin.wit")).expect("the WIT");
        resolve.push_str("plugin.wit", &interface).expect("the interface");
        if self.version != "0.2.0" {
            let other = interface.replace("plugin@0.2.0", &format!("plugin@{}", self.version));
            resolve.push_str("other.wit", &other).expect("the same interface of another version");
        }
        let world = format!(
            "package test:guests;\n{}\nworld guest {{\n{}\nexport switchboard:plugin/tools@{};\n}}\n",
            self.packages, self.imported, self.version
        );
        let package = resolve.push_str("guest.wit", &world).unwrap_or_else(|error| panic!("{error:#}"));
        let world = resolve.select_world(&[package], Some("guest")).expect("a world");
        let mut module = self.module();
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, encoding)
            .expect("a module that says its world");
        let mut encoder =
            wit_component::ComponentEncoder::default().validate(true).module(&module).expect("a module");
        encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn module(&self) -> Vec<u8> {
        use ValType::I32;
        let tools = format!("switchboard:plugin/tools@{}", self.version);
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        for (at, (interface, name, takes, gives)) in (0_u32..).zip(self.imports) {
            types.ty().function(takes.iter().copied(), gives.iter().copied());
            imports.import(interface, name, EntityType::Function(at));
        }
        let (mut functions, mut exports, mut code) =
            (FunctionSection::new(), ExportSection::new(), CodeSection::new());
        let exported: [(String, usize, Body, i32); 3] = [
            (format!("{tools}#describe"), 0, self.describe, INFO),
            (format!("{tools}#call"), 1, self.call, RESULT),
            ("cabi_realloc".to_owned(), 4, |_| {}, GIVEN),
        ];
        for (at, (name, takes, body, gives)) in (types.len()..).zip(exported) {
            types.ty().function(vec![I32; takes], [I32]);
            functions.function(at);
            exports.export(&name, ExportKind::Func, at);
            let mut function = Function::new([(2, I32)]);
            let mut instructions = function.instructions();
            body(&mut instructions);
            instructions.i32_const(gives).end();
            code.function(&function);
        }
        exports.export("memory", ExportKind::Memory, 0);
        let mut memories = MemorySection::new();
        memories.memory(ONE_PAGE);
        let mut data = DataSection::new();
        for (place, bytes) in self.memory() {
            data.active(0, &ConstExpr::i32_const(place), bytes);
        }
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&memories);
        module.section(&exports).section(&code).section(&data);
        module.finish()
    }

    /// What stands in memory from the beginning, as the canonical ABI lays it out.
    fn memory(&self) -> Vec<(i32, Vec<u8>)> {
        let mut texts = Vec::new();
        let mut text = |words: &str| {
            let at = TEXTS + i32::try_from(texts.len()).expect("little text");
            texts.extend_from_slice(words.as_bytes());
            [at, i32::try_from(words.len()).expect("little text")]
        };
        let name = text("by-hand");
        let version = text("1.0.0");
        let tool = [text("attack"), text("Attacks."), text(r#"{"type":"object"}"#)].concat();
        // Not repeatable, no timeout, nothing to say first, interruptible.
        let rest = [0, 0, 0, 0, 0, 0, 1];
        let info = [name, version, [TOOL, 1], [0, 0]].concat();
        let answer = [0, ANSWER, i32::try_from(self.answer.len()).expect("a short answer")];
        let mut line = vec![b'y'; 4_000];
        line.push(b'\n');
        vec![
            (INFO, bytes_of(&info)),
            (TOOL, bytes_of(&[tool, rest.to_vec()].concat())),
            (RESULT, bytes_of(&answer)),
            (TEXTS, texts),
            (ANSWER, self.answer.as_bytes().to_vec()),
            (LINE, line),
        ]
    }
}

pub(super) const ONE_PAGE: MemoryType =
    MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };

fn empty_like<T: Default>(_: &T) -> T {
    T::default()
}

fn bytes_of(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
