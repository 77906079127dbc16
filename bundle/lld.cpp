// lld.cpp - LLVM's linker inside dcc (DCC_BUNDLE), so that -shared needs no C compiler where dcc runs.
//
// lld names every target that LLVM was built with, and the passes of Polly for bitcode.  It gets objects of x86-64 only: the other
// targets are empty functions here, which leaves 60 MB of code out of the program.
#include <lld/Common/Driver.h>
#include <llvm/Passes/PassPlugin.h>
#include <llvm/Support/raw_ostream.h>

LLD_HAS_DRIVER(elf)

// backend/link.c: whether the files were linked; messages are at stderr.
extern "C" bool link_with_lld(int argc, const char *const *argv)
{
	return lld::elf::link({argv, static_cast<size_t>(argc)}, llvm::outs(), llvm::errs(), false, false);
}

llvm::PassPluginLibraryInfo getPollyPluginInfo()
{
	return {};
}

// What is real comes from LLVM's libraries: these names replace it in what follows.
#define LLVMInitializeX86TargetInfo lld_no_x86_info
#define LLVMInitializeX86Target lld_no_x86_target
#define LLVMInitializeX86TargetMC lld_no_x86_mc
#define LLVMInitializeX86AsmPrinter lld_no_x86_printer
#define LLVMInitializeX86AsmParser lld_no_x86_parser
extern "C" {
#define LLVM_TARGET(name)                                                                                              \
	void LLVMInitialize##name##TargetInfo() {}                                                                     \
	void LLVMInitialize##name##Target() {}                                                                         \
	void LLVMInitialize##name##TargetMC() {}
#include <llvm/Config/Targets.def>
#define LLVM_ASM_PRINTER(name)                                                                                         \
	void LLVMInitialize##name##AsmPrinter() {}
#include <llvm/Config/AsmPrinters.def>
#define LLVM_ASM_PARSER(name)                                                                                          \
	void LLVMInitialize##name##AsmParser() {}
#include <llvm/Config/AsmParsers.def>
}
