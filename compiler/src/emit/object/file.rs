//! Object files: Cranelift's module for them, and the addresses that it can't write.
//!
//! In COFF for 64-bit ARM, that module can call functions but not take an address: such places are noted here, and become
//! relocations when the file is complete. On x86-64 it takes addresses as if it called them, which linkers may resent. And
//! that module copies all data, of which a network has a hundred megabytes: large ones are put in when the file is written.
//! Must not know what is in a file.

use super::ALIGNMENT;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::{Context, FinalizedMachReloc};
use cranelift_module::{
    DataDescription, DataId, FuncId, Linkage, Module, ModuleDeclarations, ModuleReloc, ModuleResult,
    default_libcall_names,
};
use cranelift_object::object::pe::{IMAGE_REL_ARM64_PAGEBASE_REL21, IMAGE_REL_ARM64_PAGEOFFSET_12A};
use cranelift_object::object::write::{Object, Relocation, SymbolId, SymbolSection};
use cranelift_object::object::{self, RelocationFlags, SectionKind};
use cranelift_object::{ObjectBuilder, ObjectModule};
use std::borrow::Cow;
use target_lexicon::BinaryFormat;

/// The opcode of x86-64's `lea`, followed by a byte that says how the address is made, and the distance (Intel 64 and
/// IA-32 Architectures Software Developer's Manual, volume 2, LEA).
const LOAD_ADDRESS: u8 = 0x8d;

/// An object file being written.
pub(super) struct ObjectFile<'w> {
    module: ObjectModule,
    /// Places in functions where an address is taken that the module cannot write.
    addresses: Vec<(FuncId, ModuleReloc)>,
    /// Data that are the whole of a section.
    sections: Vec<(DataId, Cow<'w, [u8]>)>,
}

impl<'w> ObjectFile<'w> {
    /// An empty file of this name for a machine whose format is known.
    pub fn new(isa: OwnedTargetIsa, name: &str) -> Self {
        let builder = ObjectBuilder::new(isa, name, default_libcall_names());
        let module = ObjectModule::new(builder.expect("the platform's format is known"));
        Self { module, addresses: Vec::new(), sections: Vec::new() }
    }

    /// Puts bytes that are only read into the file: a section of their own, copied when the file is written, and no sooner.
    pub fn define_bytes(&mut self, name: &str, bytes: Cow<'w, [u8]>) -> DataId {
        let data = self.module.declare_data(name, Linkage::Local, false, false).expect("declared once");
        // The module's own definition is empty; its symbol moves to the section with the bytes.
        let mut description = DataDescription::new();
        description.define(Box::new([]));
        self.module.define_data(data, &description).expect("defined once");
        self.sections.push((data, bytes));
        data
    }

    /// The file's bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut product = self.module.finish();
        for (function, address) in self.addresses {
            let own = product.object.symbol(product.function_symbol(function));
            let section = own.section.id().expect("the function is defined");
            let offset = own.value + u64::from(address.offset);
            let symbol = match ModuleDeclarations::is_function(&address.name) {
                true => product.function_symbol(FuncId::from_name(&address.name)),
                false => product.data_symbol(DataId::from_name(&address.name)),
            };
            let typ = page_relocation(address.kind).expect("nothing else was noted");
            let relocation =
                Relocation { offset, symbol, addend: address.addend, flags: RelocationFlags::Coff { typ } };
            product.object.add_relocation(section, relocation).expect("the format knows it");
        }
        let symbols: Vec<SymbolId> = self.sections.iter().map(|(data, _)| product.data_symbol(*data)).collect();
        let mut object: Object = product.object;
        for (symbol, (_, bytes)) in symbols.into_iter().zip(self.sections) {
            // Linkers take what follows the first part for a name within the section of all data that are only read.
            let (segment, name) = match object.format() {
                object::BinaryFormat::MachO => ("__TEXT", "__weights"),
                object::BinaryFormat::Coff => ("", ".rdata$weights"),
                _elf => ("", ".rodata.weights"),
            };
            let section = object.add_section(segment.into(), name.into(), SectionKind::ReadOnlyData);
            let symbol = object.symbol_mut(symbol);
            (symbol.section, symbol.value, symbol.size) = (SymbolSection::Section(section), 0, bytes.len() as u64);
            object.section_mut(section).set_data(bytes, ALIGNMENT as u64);
        }
        object.write().expect("an object of a known format")
    }
}

/// What COFF calls the two halves of an address on 64-bit ARM: the distance in pages, and the place in the page (PE
/// Format, "ARM64 Processors").
fn page_relocation(kind: Reloc) -> Option<u16> {
    match kind {
        Reloc::Aarch64AdrPrelPgHi21 => Some(IMAGE_REL_ARM64_PAGEBASE_REL21),
        Reloc::Aarch64AddAbsLo12Nc => Some(IMAGE_REL_ARM64_PAGEOFFSET_12A),
        _other => None,
    }
}

/// All but addresses is the module's.
impl Module for ObjectFile<'_> {
    fn define_function_with_control_plane(
        &mut self,
        function: FuncId,
        context: &mut Context,
        control: &mut ControlPlane,
    ) -> ModuleResult<()> {
        context.compile(self.module.isa(), control)?;
        let code = &context.compiled_code().expect("it was compiled just now").buffer;
        let relocation = |place: &FinalizedMachReloc| {
            let mut relocation = ModuleReloc::from_mach_reloc(place, &context.func, function);
            if place.kind == Reloc::X86CallPCRel4 && code.data()[place.offset as usize - 2] == LOAD_ADDRESS {
                relocation.kind = Reloc::X86PCRel4;
            }
            relocation
        };
        let is_coff = self.module.isa().triple().binary_format == BinaryFormat::Coff;
        let (addresses, others): (Vec<_>, Vec<_>) =
            code.relocs().iter().map(relocation).partition(|place| is_coff && page_relocation(place.kind).is_some());
        self.module.define_function_bytes(function, code.alignment.into(), code.data(), &others)?;
        self.addresses.extend(addresses.into_iter().map(|address| (function, address)));
        Ok(())
    }

    fn isa(&self) -> &dyn TargetIsa {
        self.module.isa()
    }

    fn declarations(&self) -> &ModuleDeclarations {
        self.module.declarations()
    }

    fn declare_function(&mut self, name: &str, linkage: Linkage, signature: &Signature) -> ModuleResult<FuncId> {
        self.module.declare_function(name, linkage, signature)
    }

    fn declare_anonymous_function(&mut self, signature: &Signature) -> ModuleResult<FuncId> {
        self.module.declare_anonymous_function(signature)
    }

    fn declare_data(&mut self, name: &str, linkage: Linkage, writable: bool, tls: bool) -> ModuleResult<DataId> {
        self.module.declare_data(name, linkage, writable, tls)
    }

    fn declare_anonymous_data(&mut self, writable: bool, tls: bool) -> ModuleResult<DataId> {
        self.module.declare_anonymous_data(writable, tls)
    }

    fn define_function_bytes(
        &mut self,
        function: FuncId,
        alignment: u64,
        bytes: &[u8],
        relocations: &[ModuleReloc],
    ) -> ModuleResult<()> {
        self.module.define_function_bytes(function, alignment, bytes, relocations)
    }

    fn define_data(&mut self, data: DataId, description: &DataDescription) -> ModuleResult<()> {
        self.module.define_data(data, description)
    }
}
