//! A guest whose table grows without end. No compiler writes such a thing, so it is put together here by hand.

use switchboard::tool::plugin::{Limits, Settings};
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection, MemoryType, Module,
    RefType, TableSection, TableType, TypeSection, ValType,
};

use super::{file, refusal, settings};

/// A component of the newest interface that, when it is asked what it is, grows its table until it may not, and
/// traps.
fn table_grower() -> Vec<u8> {
    let mut module = core_module();
    let guests = std::fs::read(settings("test-guests").path).expect("the guests");
    let decoded = wit_component::decode(&guests).expect("a component");
    let wit_component::DecodedWasm::Component(resolve, world) = decoded else { panic!("a component") };
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .expect("a module that says its world");
    let mut encoder = wit_component::ComponentEncoder::default().module(&module).expect("a module");
    encoder.encode().expect("a component")
}

/// Exports with the signatures of the canonical ABI; only `describe` does anything.
fn core_module() -> Vec<u8> {
    use ValType::I32;
    let exports: [(&str, Vec<ValType>, Vec<ValType>); 6] = [
        ("switchboard:plugin/tools@0.2.0#describe", vec![], vec![I32]),
        ("switchboard:plugin/tools@0.2.0#call", vec![I32], vec![I32]),
        ("switchboard:plugin/hooks@0.2.0#incoming", vec![I32], vec![I32]),
        ("switchboard:plugin/hooks@0.2.0#event", vec![I32], vec![]),
        ("switchboard:plugin/hooks@0.2.0#ended", vec![I32], vec![]),
        ("cabi_realloc", vec![I32; 4], vec![I32]),
    ];
    let (mut types, mut functions, mut exported, mut code) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new(), CodeSection::new());
    for (at, (name, parameters, results)) in (0_u32..).zip(exports) {
        types.ty().function(parameters, results);
        functions.function(at);
        exported.export(name, ExportKind::Func, at);
        let mut body = Function::new([]);
        if at == 0 {
            let mut instructions = body.instructions();
            instructions.loop_(wasm_encoder::BlockType::Empty);
            instructions.ref_null(wasm_encoder::HeapType::FUNC).i32_const(10_000).table_grow(0);
            instructions.i32_const(-1).i32_ne().br_if(0).end();
        }
        body.instructions().unreachable().end();
        code.function(&body);
    }
    exported.export("memory", ExportKind::Memory, 0);
    let mut tables = TableSection::new();
    let table = TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: None,
        shared: false,
    };
    tables.table(table);
    let mut memories = MemorySection::new();
    let memory =
        MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
    memories.memory(memory);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories).section(&exported);
    module.section(&code);
    module.finish()
}

#[tokio::test]
async fn a_table_that_grows_without_end_is_stopped_at_its_limit() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = file(&dir, &table_grower());
    let limits = Limits { table_elements: 50_000, ..Limits::default() };
    let told = refusal(&Settings { path, limits, ..settings("test-guests") }).await;
    insta::assert_snapshot!(told, @"it cannot describe itself: it wanted more than the 50000 table elements that `limits.table_elements` allows; raise `plugins.test-guests.limits.table_elements`, or have the plugin built to need less");
}
