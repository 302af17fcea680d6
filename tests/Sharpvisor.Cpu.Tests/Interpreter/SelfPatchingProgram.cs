// A loop whose second half patches the immediate of its first instruction: RBX ends as 1 + 2 + … + 50.
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Cpu.Tests.Interpreter;

internal static class SelfPatchingProgram
{
    public const ulong Sum = 1275;

    public static void Assemble(Assembler a)
    {
        Label loop = a.CreateLabel();
        Label patched = a.CreateLabel();
        a.xor(ebx, ebx);
        a.mov(ecx, 1);
        a.Label(ref loop);
        a.lea(rdi, __[patched]);
        a.mov(__dword_ptr[rdi + 1], ecx);
        a.jmp(patched);
        a.nop();
        a.Label(ref patched);
        a.mov(edx, 0x7777_7777);
        a.add(ebx, edx);
        a.inc(ecx);
        a.cmp(ecx, 51);
        a.jne(loop);
    }
}
