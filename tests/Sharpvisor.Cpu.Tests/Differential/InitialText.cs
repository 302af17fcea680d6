// The initial registers of a shrunk sequence as text, without those that are zero.
using System.Globalization;
using System.Text;

namespace Sharpvisor.Cpu.Tests.Differential;

internal static unsafe class InitialText
{
    private static readonly string[] s_gprs =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

    public static void Append(StringBuilder text, Sequence sequence)
    {
        fixed (MachineState* state = &sequence.Initial)
        {
            for (int i = 0; i < 16; i++)
            {
                Value(text, s_gprs[i], state->Gpr[i]);
            }

            Value(text, "rflags", state->RFlags);
            byte* fx = state->Fx;
            Value(text, "fcw", *(ushort*)fx);
            Value(text, "fsw", *(ushort*)(fx + MachineState.FxFsw));
            Value(text, "ftw", fx[MachineState.FxFtw]);
            Value(text, "mxcsr", *(uint*)(fx + MachineState.FxMxcsr));
            for (int i = 0; i < 8; i++)
            {
                Wide(text, "st" + i, *(ushort*)(fx + MachineState.FxSt + (i * 16) + 8), *(ulong*)(fx + MachineState.FxSt + (i * 16)));
            }

            for (int i = 0; i < 16; i++)
            {
                Wide(text, "xmm" + i, *(ulong*)(fx + MachineState.FxXmm + (i * 16) + 8), *(ulong*)(fx + MachineState.FxXmm + (i * 16)));
            }
        }
    }

    private static void Value(StringBuilder text, string name, ulong value)
    {
        if (value != 0)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"  {name} = {value:x}");
        }
    }

    private static void Wide(StringBuilder text, string name, ulong high, ulong low)
    {
        if ((high | low) != 0)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"  {name} = {high:x4}:{low:x16}");
        }
    }
}
