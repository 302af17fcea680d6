// Which instructions the generator may use: all that Iced can encode in 64-bit mode, minus the privileged, the
// nondeterministic and those whose result the architecture leaves to the implementation, minus what the host or the
// engine under test does not offer in CPUID.
using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using Sharpvisor.Core;

namespace Sharpvisor.Cpu.Tests.Differential;

/// <summary>Groups the generator weighs against each other.</summary>
internal enum InstructionClass
{
    Alu,
    Move,
    Shift,
    Bit,
    MulDiv,
    Conditional,
    Exchange,
    Text,
    Stack,
    Branch,
    FlagControl,
    X87,
    Mmx,
    SseFloat,
    SseInteger,
    SseOther,
}

internal sealed class InstructionCatalog
{
    public static readonly int ClassCount = Enum.GetValues<InstructionClass>().Length;

    private static readonly HashSet<Mnemonic> s_excluded =
    [
        // Privileged, intercepted or dependent on time and identity.
        Mnemonic.Cpuid, Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Rdpmc, Mnemonic.Rdrand, Mnemonic.Rdseed, Mnemonic.Rdpid,
        Mnemonic.Syscall, Mnemonic.Sysenter, Mnemonic.Sysexit, Mnemonic.Sysret, Mnemonic.Int, Mnemonic.Int1, Mnemonic.Int3, Mnemonic.Into,
        Mnemonic.Iret, Mnemonic.Iretd, Mnemonic.Iretq, Mnemonic.Hlt, Mnemonic.In, Mnemonic.Out, Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd,
        Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd, Mnemonic.Cli, Mnemonic.Sti, Mnemonic.Lar, Mnemonic.Lsl, Mnemonic.Verr, Mnemonic.Verw,
        Mnemonic.Sgdt, Mnemonic.Sidt, Mnemonic.Sldt, Mnemonic.Str, Mnemonic.Smsw, Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Ud2, Mnemonic.Xgetbv,
        Mnemonic.Lfs, Mnemonic.Lgs, Mnemonic.Lss, Mnemonic.Retf,
        // State images whose instruction pointers differ between vendors.
        Mnemonic.Fnsave, Mnemonic.Fnstenv, Mnemonic.Fxsave, Mnemonic.Fxsave64, Mnemonic.Fxrstor, Mnemonic.Fxrstor64, Mnemonic.Frstor, Mnemonic.Fldenv,
        // Approximations: every implementation has its own last bits.
        Mnemonic.Rcpps, Mnemonic.Rcpss, Mnemonic.Rsqrtps, Mnemonic.Rsqrtss, Mnemonic.Fsin, Mnemonic.Fcos, Mnemonic.Fsincos, Mnemonic.Fptan,
        Mnemonic.Fpatan, Mnemonic.F2xm1, Mnemonic.Fyl2x, Mnemonic.Fyl2xp1,
        // Undocumented or 8087 leftovers.
        Mnemonic.Fstpnce, Mnemonic.Fndisi, Mnemonic.Fneni, Mnemonic.Fnsetpm, Mnemonic.Fstdw, Mnemonic.Fstsg, Mnemonic.Frstpm,
        // Arguments the generator does not arrange.
        Mnemonic.Enter, Mnemonic.Clflush, Mnemonic.Clflushopt, Mnemonic.Clwb, Mnemonic.Popfd,
    ];

    private readonly List<List<Code>>[] _classes = new List<List<Code>>[ClassCount];

    /// <param name="engineCpuid">What the engine under test offers.</param>
    /// <param name="filter">Leaves out what it says no to.</param>
    public InstructionCatalog(Func<uint, uint, CpuidResult> engineCpuid, Func<InstructionClass, Code, bool>? filter = null)
    {
        HashSet<CpuidFeature> features = Features(engineCpuid);
        var byMnemonic = new Dictionary<(InstructionClass, Mnemonic), List<Code>>();
        for (int i = 0; i < _classes.Length; i++)
        {
            _classes[i] = [];
        }

        foreach (Code code in Enum.GetValues<Code>())
        {
            OpCodeInfo info = code.ToOpCode();
            if (!Usable(code, info, features))
            {
                continue;
            }

            InstructionClass kind = Classify(code, info);
            if (filter is not null && !filter(kind, code))
            {
                continue;
            }

            if (!byMnemonic.TryGetValue((kind, info.Mnemonic), out List<Code>? codes))
            {
                byMnemonic[(kind, info.Mnemonic)] = codes = [];
                _classes[(int)kind].Add(codes);
            }

            codes.Add(code);
            CodeCount++;
        }
    }

    public int CodeCount { get; }

    public Code Pick(InstructionClass kind, ref SplitMix random)
    {
        List<List<Code>> mnemonics = _classes[(int)kind];
        if (mnemonics.Count == 0)
        {
            return Code.INVALID;
        }

        List<Code> codes = mnemonics[random.Below(mnemonics.Count)];
        return codes[random.Below(codes.Count)];
    }

    public IEnumerable<Code> All => _classes.SelectMany(static c => c).SelectMany(static c => c);

    private static bool Usable(Code code, OpCodeInfo info, HashSet<CpuidFeature> features)
    {
        if (!info.IsInstruction || !info.Mode64 || info.IsPrivileged || info.MustBeCpl0 || info.Fwait || info.IsReservedNop
            || info.Encoding is not (EncodingKind.Legacy or EncodingKind.VEX) || s_excluded.Contains(info.Mnemonic)
            || !info.LongMode || info.IsXbegin())
        {
            return false;
        }

        // BSWAP r16 has no defined result; 16-bit near branches and how much MOVSXD r16 reads differ between vendors.
        if (code is Code.Bswap_r16 or Code.Movsxd_r16_rm16 or Code.Call_rel16 or Code.Jmp_rel16 or Code.Montmul_16)
        {
            return false;
        }

        foreach (CpuidFeature feature in code.CpuidFeatures())
        {
            if (!features.Contains(feature))
            {
                return false;
            }
        }

        for (int i = 0; i < info.OpCount; i++)
        {
            if (!OperandUsable(info, info.GetOpKind(i)))
            {
                return false;
            }
        }

        // Far branches need segments.
        return code.FlowControl() is FlowControl.Next or FlowControl.ConditionalBranch or FlowControl.UnconditionalBranch
            || code is Code.Call_rel32_64 or Code.Call_rm64 or Code.Jmp_rm64 or Code.Retnq or Code.Retnq_imm16;
    }

    private static bool OperandUsable(OpCodeInfo info, OpCodeOperandKind kind) => kind switch
    {
        OpCodeOperandKind.seg_reg or OpCodeOperandKind.cr_reg or OpCodeOperandKind.dr_reg or OpCodeOperandKind.tr_reg
            or OpCodeOperandKind.es or OpCodeOperandKind.cs or OpCodeOperandKind.ss or OpCodeOperandKind.ds
            or OpCodeOperandKind.fs or OpCodeOperandKind.gs or OpCodeOperandKind.farbr2_2 or OpCodeOperandKind.farbr4_2
            or OpCodeOperandKind.br16_1 or OpCodeOperandKind.br16_2 or OpCodeOperandKind.br32_1 or OpCodeOperandKind.br32_4
            or OpCodeOperandKind.xbegin_2 or OpCodeOperandKind.xbegin_4 => false,
        _ => info.Mnemonic is not (Mnemonic.Jmpe or Mnemonic.Loadall),
    };

    private static InstructionClass Classify(Code code, OpCodeInfo info)
    {
        Mnemonic mnemonic = info.Mnemonic;
        ReadOnlySpan<CpuidFeature> features = code.CpuidFeatures();
        string name = mnemonic.ToString();
        bool xmm = false;
        bool mmx = features.Contains(CpuidFeature.MMX);
        for (int i = 0; i < info.OpCount; i++)
        {
            xmm |= info.GetOpKind(i) is OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm;
            mmx |= info.GetOpKind(i) is OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm;
        }

        if (features.Contains(CpuidFeature.FPU) || features.Contains(CpuidFeature.FPU287) || features.Contains(CpuidFeature.FPU387))
        {
            return InstructionClass.X87;
        }

        if (mmx)
        {
            return InstructionClass.Mmx;
        }

        if (xmm)
        {
            return name.EndsWith("ps", StringComparison.Ordinal) || name.EndsWith("pd", StringComparison.Ordinal)
                || name.EndsWith("ss", StringComparison.Ordinal) || name.EndsWith("sd", StringComparison.Ordinal)
                || name.StartsWith("Cvt", StringComparison.Ordinal)
                ? InstructionClass.SseFloat
                : InstructionClass.SseInteger;
        }

        if (mnemonic is Mnemonic.Ldmxcsr or Mnemonic.Stmxcsr or Mnemonic.Emms or Mnemonic.Sfence or Mnemonic.Lfence or Mnemonic.Mfence)
        {
            return InstructionClass.SseOther;
        }

        return ClassifyGeneral(code, mnemonic, name);
    }

    private static InstructionClass ClassifyGeneral(Code code, Mnemonic mnemonic, string name)
    {
        if (code.FlowControl() != FlowControl.Next)
        {
            return InstructionClass.Branch;
        }

        var probe = default(Instruction);
        probe.Code = code;
        if (probe.IsStringInstruction)
        {
            return InstructionClass.Text;
        }

        if (probe.IsStackInstruction)
        {
            return InstructionClass.Stack;
        }

        if (name.StartsWith("Set", StringComparison.Ordinal) || name.StartsWith("Cmov", StringComparison.Ordinal))
        {
            return InstructionClass.Conditional;
        }

        return mnemonic switch
        {
            Mnemonic.Mul or Mnemonic.Imul or Mnemonic.Div or Mnemonic.Idiv or Mnemonic.Mulx => InstructionClass.MulDiv,
            Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl
                or Mnemonic.Rcr or Mnemonic.Shld or Mnemonic.Shrd or Mnemonic.Shlx or Mnemonic.Shrx or Mnemonic.Sarx
                or Mnemonic.Rorx => InstructionClass.Shift,
            Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc or Mnemonic.Bsf or Mnemonic.Bsr or Mnemonic.Popcnt
                or Mnemonic.Lzcnt or Mnemonic.Tzcnt or Mnemonic.Blsi or Mnemonic.Blsr or Mnemonic.Blsmsk or Mnemonic.Bextr
                or Mnemonic.Bzhi or Mnemonic.Pdep or Mnemonic.Pext or Mnemonic.Andn or Mnemonic.Crc32 => InstructionClass.Bit,
            Mnemonic.Xchg or Mnemonic.Xadd or Mnemonic.Cmpxchg or Mnemonic.Cmpxchg8b or Mnemonic.Cmpxchg16b => InstructionClass.Exchange,
            Mnemonic.Mov or Mnemonic.Movzx or Mnemonic.Movsx or Mnemonic.Movsxd or Mnemonic.Lea or Mnemonic.Movbe or Mnemonic.Bswap
                or Mnemonic.Movnti or Mnemonic.Nop or Mnemonic.Pause or Mnemonic.Cbw or Mnemonic.Cwde or Mnemonic.Cdqe or Mnemonic.Cwd or Mnemonic.Cdq
                or Mnemonic.Cqo or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2 or Mnemonic.Prefetchnta
                or Mnemonic.Prefetchw => InstructionClass.Move,
            Mnemonic.Clc or Mnemonic.Stc or Mnemonic.Cmc or Mnemonic.Cld or Mnemonic.Std or Mnemonic.Lahf or Mnemonic.Sahf => InstructionClass.FlagControl,
            _ => InstructionClass.Alu,
        };
    }

    // Intel SDM Vol. 2A, CPUID: the feature must be on both sides.
    private static HashSet<CpuidFeature> Features(Func<uint, uint, CpuidResult> engine)
    {
        HashSet<CpuidFeature> features =
        [
            CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386, CpuidFeature.INTEL486,
            CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.CX8, CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387,
            CpuidFeature.MMX, CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.MULTIBYTENOP, CpuidFeature.PAUSE,
        ];
        void Offer(CpuidFeature feature, uint leaf, int register, int bit)
        {
            CpuidResult e = engine(leaf, 0);
            uint ours = register switch { 0 => e.Eax, 1 => e.Ebx, 2 => e.Ecx, _ => e.Edx };
            (int eax, int ebx, int ecx, int edx) = X86Base.CpuId((int)leaf, 0);
            uint host = (uint)(register switch { 0 => eax, 1 => ebx, 2 => ecx, _ => edx });
            if (((ours & host) >> bit & 1) != 0)
            {
                _ = features.Add(feature);
            }
        }

        Offer(CpuidFeature.SSE3, 1, 2, 0);
        Offer(CpuidFeature.PCLMULQDQ, 1, 2, 1);
        Offer(CpuidFeature.SSSE3, 1, 2, 9);
        Offer(CpuidFeature.CMPXCHG16B, 1, 2, 13);
        Offer(CpuidFeature.SSE4_1, 1, 2, 19);
        Offer(CpuidFeature.SSE4_2, 1, 2, 20);
        Offer(CpuidFeature.MOVBE, 1, 2, 22);
        Offer(CpuidFeature.POPCNT, 1, 2, 23);
        Offer(CpuidFeature.AES, 1, 2, 25);
        Offer(CpuidFeature.BMI1, 7, 1, 3);
        Offer(CpuidFeature.BMI2, 7, 1, 8);
        Offer(CpuidFeature.ADX, 7, 1, 19);
        Offer(CpuidFeature.SHA, 7, 1, 29);
        Offer(CpuidFeature.LZCNT, 0x8000_0001, 2, 5);
        Offer(CpuidFeature.PREFETCHW, 0x8000_0001, 2, 8);
        return features;
    }
}

file static class OpCodeInfoExtensions
{
    public static bool IsXbegin(this OpCodeInfo info) => info.Mnemonic is Mnemonic.Xbegin or Mnemonic.Xabort or Mnemonic.Xend or Mnemonic.Xtest;
}
