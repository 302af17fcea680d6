// Random but reproducible registers for the start of a sequence.
namespace Sharpvisor.Cpu.Tests.Differential;

internal static unsafe class InitialState
{
    private const ulong FixedFlags = 0x202;
    private const ulong ArithmeticFlags = 0x8D5;
    private const ulong DirectionFlag = 0x400;

    public static void Fill(ref SplitMix random, ref MachineState state, Arena arena)
    {
        for (int i = 0; i < 16; i++)
        {
            state.Gpr[i] = random.Below(10) < 4
                ? arena.Buffer + (ulong)random.Below(Arena.BufferBytes)
                : InterestingValues.Integer(ref random);
        }

        state.Gpr[4] = arena.Buffer + 128 + ((ulong)random.Below((Arena.BufferBytes - 256) / 8) * 8) + (random.Percent(5) ? 1UL : 0);
        state.RFlags = FixedFlags | (random.Next() & ArithmeticFlags) | (random.Percent(10) ? DirectionFlag : 0);
        fixed (byte* fx = state.Fx)
        {
            FillFpu(ref random, fx);
            for (int i = 0; i < 16; i++)
            {
                InterestingValues.Vector(ref random, out ulong low, out ulong high);
                *(ulong*)(fx + MachineState.FxXmm + (i * 16)) = low;
                *(ulong*)(fx + MachineState.FxXmm + (i * 16) + 8) = high;
            }
        }
    }

    private static void FillFpu(ref SplitMix random, byte* fx)
    {
        // Precision and rounding control at random, exceptions masked but for a few sequences.
        uint control = 0x37F;
        if (random.Percent(50))
        {
            control = 0x7F | ((uint)random.Below(16) << 8);
            control = (control & 0x300) == 0x100 ? control | 0x300 : control;
        }

        if (random.Percent(5))
        {
            control &= ~(1u << random.Below(6));
        }

        uint status = (uint)random.Below(8) << 11;
        if (random.Percent(30))
        {
            status |= (uint)random.Next() & 0x473F;
        }

        // ES and B summarise the unmasked exceptions (SDM Vol. 1, 8.1.3).
        if ((status & ~control & 0x3F) != 0)
        {
            status |= 0x8080;
        }

        *(ushort*)(fx + MachineState.FxFcw) = (ushort)control;
        *(ushort*)(fx + MachineState.FxFsw) = (ushort)status;
        fx[MachineState.FxFtw] = random.Below(4) switch { 0 => 0xFF, 1 => 0, 2 => 0x7E, _ => (byte)random.Next() };
        uint mxcsr = 0x1F80;
        if (random.Percent(30))
        {
            mxcsr |= (uint)random.Below(4) << 13;
        }

        if (random.Percent(10))
        {
            mxcsr |= random.Percent(50) ? 0x40u : 0x8000u;
        }

        if (random.Percent(5))
        {
            mxcsr &= ~(0x80u << random.Below(6));
        }

        *(uint*)(fx + MachineState.FxMxcsr) = mxcsr;
        for (int i = 0; i < 8; i++)
        {
            InterestingValues.Extended(ref random, out ulong significand, out ushort top);
            *(ulong*)(fx + MachineState.FxSt + (i * 16)) = significand;
            *(ulong*)(fx + MachineState.FxSt + (i * 16) + 8) = top;
        }
    }
}
