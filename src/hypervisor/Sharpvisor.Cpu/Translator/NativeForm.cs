// Which instructions are translated to host code, and how. A table by Iced Code; everything else is left to the interpreter.
using Iced.Intel;

namespace Sharpvisor.Cpu.Translator;

/// <summary>How an instruction is emitted.</summary>
internal enum NativeKind : byte
{
    None,
    AluRmReg,
    AluRegRm,
    AluRmImm,
    TestRmReg,
    TestRmImm,
    MovRmReg,
    MovRegRm,
    MovRegImm,
    MovRmImm,
    Extend,
    Lea,
    IncDec,
    NegNot,
    ShiftImm,
    ShiftOne,
    ShiftCl,
    DoubleShiftImm,
    ImulRegRm,
    ImulRegRmImm,
    Mul,
    Div,
    SetCc,
    CmovCc,
    Jcc,
    Jmp,
    Call,
    JmpIndirect,
    CallIndirect,
    Ret,
    PushReg,
    PushRm,
    PushImm,
    PopReg,
    Leave,
    Xchg,
    Xadd,
    Cmpxchg,
    Bswap,
    BitTestImm,
    BitTestReg,
    BitScan,
    Popcnt,
    SignExtendRax,
    SignRdx,
    Nop,
    Idiv,
    Cmpxchg16b,
    RepStos,
    RepMovs,
    FromSegment,
    Pushf,
    Cli,
    Sti,
    Clac,
    Stac,
    Swapgs,
    X87Load,
    X87Store,
    X87StoreControl,
    X87LoadControl,
    X87StatusToAx,
    X87Register,
    X87Compare,
    X87Move,
    X87Wait,
    SseBinary,
    SseShiftImm,
    SseStore,
    SseFloat,
    SseCompare,
    SseTest,
    SseStringIndex,
    SseFromGpr,
    SseToRm,
    SseToGpr,
    SseFloatFromGpr,
    SseFloatToGpr,
}

/// <summary>One table entry.</summary>
internal readonly struct NativeForm(NativeKind kind, int bytes, int opcode, int sub = 0, int prefix = 0, bool immediate = false)
{
    private static readonly NativeForm[] s_table = Create();

    public NativeKind Kind { get; } = kind;

    /// <summary>Operand size.</summary>
    public byte Bytes { get; } = (byte)bytes;

    /// <summary>ModRM extension, condition, or source size of an extension.</summary>
    public byte Sub { get; } = (byte)sub;

    public int Opcode { get; } = opcode;

    /// <summary>The mandatory prefix of an SSE instruction, or 0.</summary>
    public byte Prefix { get; } = (byte)prefix;

    /// <summary>An SSE instruction ends in an immediate byte.</summary>
    public bool Immediate { get; } = immediate;

    public static NativeForm Of(ushort code) => s_table[code];

    private static NativeForm[] Create()
    {
        var t = new NativeForm[Decode.HandlerTable.Capacity];
        Arithmetic(t);
        ForEachSize(t);
        Moves(t);
        Branches(t);
        System(t);
        SseForms.Register(t);
        X87Forms.Register(t);
        return t;
    }

    private static int Sized(int opcode, int size) => size == 0 ? opcode : opcode + 1;

    private static void Arithmetic(NativeForm[] t)
    {
        Code[] first =
        [
            Code.Add_rm8_r8, Code.Or_rm8_r8, Code.Adc_rm8_r8, Code.Sbb_rm8_r8,
            Code.And_rm8_r8, Code.Sub_rm8_r8, Code.Xor_rm8_r8, Code.Cmp_rm8_r8,
        ];
        for (int group = 0; group < 8; group++)
        {
            for (int size = 0; size < 4; size++)
            {
                int bytes = 1 << size;
                t[(int)first[group] + size] = new(NativeKind.AluRmReg, bytes, Sized(group << 3, size), group);
                t[(int)first[group] + 4 + size] = new(NativeKind.AluRegRm, bytes, Sized((group << 3) | 2, size), group);
                t[(int)first[group] + 8 + size] = new(NativeKind.AluRmImm, bytes, 0, group);
            }

            t[(int)Code.Add_rm8_imm8 + group] = new(NativeKind.AluRmImm, 1, 0, group);
            for (int size = 1; size < 4; size++)
            {
                int offset = (3 * group) + size - 1;
                t[(int)Code.Add_rm16_imm16 + offset] = new(NativeKind.AluRmImm, 1 << size, 0, group);
                t[(int)Code.Add_rm16_imm8 + offset] = new(NativeKind.AluRmImm, 1 << size, 0, group);
                t[(int)Code.Rol_rm16_imm8 + offset] = new(NativeKind.ShiftImm, 1 << size, 0xC1, group);
                t[(int)Code.Rol_rm16_1 + offset] = new(NativeKind.ShiftOne, 1 << size, 0xD1, group);
                t[(int)Code.Rol_rm16_CL + offset] = new(NativeKind.ShiftCl, 1 << size, 0xD3, group);
            }

            t[(int)Code.Rol_rm8_imm8 + group] = new(NativeKind.ShiftImm, 1, 0xC0, group);
            t[(int)Code.Rol_rm8_1 + group] = new(NativeKind.ShiftOne, 1, 0xD0, group);
            t[(int)Code.Rol_rm8_CL + group] = new(NativeKind.ShiftCl, 1, 0xD2, group);
        }
    }

    private static void ForEachSize(NativeForm[] t)
    {
        void All(NativeKind kind, int opcode, int sub, Code b, Code w, Code d, Code q)
        {
            t[(int)b] = new(kind, 1, opcode, sub);
            Wide(kind, opcode + 1, sub, w, d, q);
        }

        void Wide(NativeKind kind, int opcode, int sub, Code w, Code d, Code q)
        {
            t[(int)w] = new(kind, 2, opcode, sub);
            t[(int)d] = new(kind, 4, opcode, sub);
            t[(int)q] = new(kind, 8, opcode, sub);
        }

        All(NativeKind.TestRmReg, 0x84, 0, Code.Test_rm8_r8, Code.Test_rm16_r16, Code.Test_rm32_r32, Code.Test_rm64_r64);
        All(NativeKind.TestRmImm, 0xF6, 0, Code.Test_rm8_imm8, Code.Test_rm16_imm16, Code.Test_rm32_imm32, Code.Test_rm64_imm32);
        All(NativeKind.TestRmImm, 0xF6, 0, Code.Test_AL_imm8, Code.Test_AX_imm16, Code.Test_EAX_imm32, Code.Test_RAX_imm32);
        All(NativeKind.IncDec, 0xFE, 0, Code.Inc_rm8, Code.Inc_rm16, Code.Inc_rm32, Code.Inc_rm64);
        All(NativeKind.IncDec, 0xFE, 1, Code.Dec_rm8, Code.Dec_rm16, Code.Dec_rm32, Code.Dec_rm64);
        All(NativeKind.NegNot, 0xF6, 2, Code.Not_rm8, Code.Not_rm16, Code.Not_rm32, Code.Not_rm64);
        All(NativeKind.NegNot, 0xF6, 3, Code.Neg_rm8, Code.Neg_rm16, Code.Neg_rm32, Code.Neg_rm64);
        All(NativeKind.Mul, 0xF6, 4, Code.Mul_rm8, Code.Mul_rm16, Code.Mul_rm32, Code.Mul_rm64);
        All(NativeKind.Mul, 0xF6, 5, Code.Imul_rm8, Code.Imul_rm16, Code.Imul_rm32, Code.Imul_rm64);
        All(NativeKind.Xchg, 0x86, 0, Code.Xchg_rm8_r8, Code.Xchg_rm16_r16, Code.Xchg_rm32_r32, Code.Xchg_rm64_r64);
        Wide(NativeKind.Xchg, 0x87, 0, Code.Xchg_r16_AX, Code.Xchg_r32_EAX, Code.Xchg_r64_RAX);
        All(NativeKind.Xadd, 0x0FC0, 0, Code.Xadd_rm8_r8, Code.Xadd_rm16_r16, Code.Xadd_rm32_r32, Code.Xadd_rm64_r64);
        All(NativeKind.Cmpxchg, 0x0FB0, 0, Code.Cmpxchg_rm8_r8, Code.Cmpxchg_rm16_r16, Code.Cmpxchg_rm32_r32, Code.Cmpxchg_rm64_r64);
        Wide(NativeKind.ImulRegRm, 0x0FAF, 0, Code.Imul_r16_rm16, Code.Imul_r32_rm32, Code.Imul_r64_rm64);
        Wide(NativeKind.ImulRegRmImm, 0x69, 0, Code.Imul_r16_rm16_imm16, Code.Imul_r32_rm32_imm32, Code.Imul_r64_rm64_imm32);
        Wide(NativeKind.ImulRegRmImm, 0x69, 0, Code.Imul_r16_rm16_imm8, Code.Imul_r32_rm32_imm8, Code.Imul_r64_rm64_imm8);
        Wide(NativeKind.BitScan, 0x0FBC, 0, Code.Bsf_r16_rm16, Code.Bsf_r32_rm32, Code.Bsf_r64_rm64);
        Wide(NativeKind.BitScan, 0x0FBD, 0, Code.Bsr_r16_rm16, Code.Bsr_r32_rm32, Code.Bsr_r64_rm64);
        Wide(NativeKind.BitTestImm, 0x0FBA, 4, Code.Bt_rm16_imm8, Code.Bt_rm32_imm8, Code.Bt_rm64_imm8);
        Wide(NativeKind.BitTestImm, 0x0FBA, 5, Code.Bts_rm16_imm8, Code.Bts_rm32_imm8, Code.Bts_rm64_imm8);
        Wide(NativeKind.BitTestImm, 0x0FBA, 6, Code.Btr_rm16_imm8, Code.Btr_rm32_imm8, Code.Btr_rm64_imm8);
        Wide(NativeKind.BitTestImm, 0x0FBA, 7, Code.Btc_rm16_imm8, Code.Btc_rm32_imm8, Code.Btc_rm64_imm8);
        Wide(NativeKind.BitTestReg, 0x0FA3, 4, Code.Bt_rm16_r16, Code.Bt_rm32_r32, Code.Bt_rm64_r64);
        Wide(NativeKind.BitTestReg, 0x0FAB, 5, Code.Bts_rm16_r16, Code.Bts_rm32_r32, Code.Bts_rm64_r64);
        Wide(NativeKind.BitTestReg, 0x0FB3, 6, Code.Btr_rm16_r16, Code.Btr_rm32_r32, Code.Btr_rm64_r64);
        Wide(NativeKind.BitTestReg, 0x0FBB, 7, Code.Btc_rm16_r16, Code.Btc_rm32_r32, Code.Btc_rm64_r64);
    }

    private static void Moves(NativeForm[] t)
    {
        Code[] registerStores = [Code.Mov_rm8_r8, Code.Mov_rm16_r16, Code.Mov_rm32_r32, Code.Mov_rm64_r64];
        Code[] loads = [Code.Mov_r8_rm8, Code.Mov_r16_rm16, Code.Mov_r32_rm32, Code.Mov_r64_rm64];
        Code[] immediates = [Code.Mov_r8_imm8, Code.Mov_r16_imm16, Code.Mov_r32_imm32, Code.Mov_r64_imm64];
        Code[] stores = [Code.Mov_rm8_imm8, Code.Mov_rm16_imm16, Code.Mov_rm32_imm32, Code.Mov_rm64_imm32];
        for (int size = 0; size < 4; size++)
        {
            t[(int)registerStores[size]] = new(NativeKind.MovRmReg, 1 << size, Sized(0x88, size));
            t[(int)loads[size]] = new(NativeKind.MovRegRm, 1 << size, Sized(0x8A, size));
            t[(int)immediates[size]] = new(NativeKind.MovRegImm, 1 << size, 0);
            t[(int)stores[size]] = new(NativeKind.MovRmImm, 1 << size, Sized(0xC6, size));
        }

        t[(int)Code.Movzx_r16_rm8] = new(NativeKind.Extend, 2, 0x0FB6, 1);
        t[(int)Code.Movzx_r32_rm8] = new(NativeKind.Extend, 4, 0x0FB6, 1);
        t[(int)Code.Movzx_r64_rm8] = new(NativeKind.Extend, 8, 0x0FB6, 1);
        t[(int)Code.Movzx_r32_rm16] = new(NativeKind.Extend, 4, 0x0FB7, 2);
        t[(int)Code.Movzx_r64_rm16] = new(NativeKind.Extend, 8, 0x0FB7, 2);
        t[(int)Code.Movsx_r16_rm8] = new(NativeKind.Extend, 2, 0x0FBE, 1);
        t[(int)Code.Movsx_r32_rm8] = new(NativeKind.Extend, 4, 0x0FBE, 1);
        t[(int)Code.Movsx_r64_rm8] = new(NativeKind.Extend, 8, 0x0FBE, 1);
        t[(int)Code.Movsx_r32_rm16] = new(NativeKind.Extend, 4, 0x0FBF, 2);
        t[(int)Code.Movsx_r64_rm16] = new(NativeKind.Extend, 8, 0x0FBF, 2);
        t[(int)Code.Movsxd_r64_rm32] = new(NativeKind.Extend, 8, 0x63, 4);
        t[(int)Code.Lea_r32_m] = new(NativeKind.Lea, 4, 0x8D);
        t[(int)Code.Lea_r64_m] = new(NativeKind.Lea, 8, 0x8D);
        t[(int)Code.Bswap_r32] = new(NativeKind.Bswap, 4, 0x0FC8);
        t[(int)Code.Bswap_r64] = new(NativeKind.Bswap, 8, 0x0FC8);
        t[(int)Code.Cwde] = new(NativeKind.SignExtendRax, 4, 0x0FBF);
        t[(int)Code.Cdqe] = new(NativeKind.SignExtendRax, 8, 0x63);
        t[(int)Code.Cdq] = new(NativeKind.SignRdx, 4, 0xC1);
        t[(int)Code.Cqo] = new(NativeKind.SignRdx, 8, 0xC1);
        t[(int)Code.Popcnt_r32_rm32] = new(NativeKind.Popcnt, 4, 0x0FB8);
        t[(int)Code.Popcnt_r64_rm64] = new(NativeKind.Popcnt, 8, 0x0FB8);
        t[(int)Code.Div_rm32] = new(NativeKind.Div, 4, 0xF7, 6);
        t[(int)Code.Div_rm64] = new(NativeKind.Div, 8, 0xF7, 6);
        t[(int)Code.Idiv_rm32] = new(NativeKind.Idiv, 4, 0xF7, 7);
        t[(int)Code.Idiv_rm64] = new(NativeKind.Idiv, 8, 0xF7, 7);
        t[(int)Code.Tzcnt_r32_rm32] = new(NativeKind.Popcnt, 4, 0x0FBC);
        t[(int)Code.Tzcnt_r64_rm64] = new(NativeKind.Popcnt, 8, 0x0FBC);
        t[(int)Code.Lzcnt_r32_rm32] = new(NativeKind.Popcnt, 4, 0x0FBD);
        t[(int)Code.Lzcnt_r64_rm64] = new(NativeKind.Popcnt, 8, 0x0FBD);
        t[(int)Code.Shld_rm32_r32_imm8] = new(NativeKind.DoubleShiftImm, 4, 0x0FA4);
        t[(int)Code.Shld_rm64_r64_imm8] = new(NativeKind.DoubleShiftImm, 8, 0x0FA4);
        t[(int)Code.Shrd_rm32_r32_imm8] = new(NativeKind.DoubleShiftImm, 4, 0x0FAC);
        t[(int)Code.Shrd_rm64_r64_imm8] = new(NativeKind.DoubleShiftImm, 8, 0x0FAC);
        Code[] nops =
        [
            Code.Nopw, Code.Nopd, Code.Nopq, Code.Nop_rm16, Code.Nop_rm32, Code.Nop_rm64, Code.Endbr64, Code.Pause, Code.Lfence, Code.Sfence,
            Code.Prefetchnta_m8, Code.Prefetcht0_m8, Code.Prefetcht1_m8, Code.Prefetcht2_m8, Code.Prefetchw_m8,
        ];
        foreach (Code nop in nops)
        {
            t[(int)nop] = new(NativeKind.Nop, 0, 0);
        }
    }

    private static void Branches(NativeForm[] t)
    {
        for (int condition = 0; condition < 16; condition++)
        {
            t[(int)Code.Jo_rel8_64 + (3 * condition)] = new(NativeKind.Jcc, 8, 0, condition);
            t[(int)Code.Jo_rel32_64 + (3 * condition)] = new(NativeKind.Jcc, 8, 0, condition);
            t[(int)Code.Seto_rm8 + condition] = new(NativeKind.SetCc, 1, 0x0F90 | condition, condition);
            t[(int)Code.Cmovo_r32_rm32 + (3 * condition)] = new(NativeKind.CmovCc, 4, 0x0F40 | condition, condition);
            t[(int)Code.Cmovo_r64_rm64 + (3 * condition)] = new(NativeKind.CmovCc, 8, 0x0F40 | condition, condition);
        }

        t[(int)Code.Jmp_rel8_64] = new(NativeKind.Jmp, 8, 0);
        t[(int)Code.Jmp_rel32_64] = new(NativeKind.Jmp, 8, 0);
        t[(int)Code.Call_rel32_64] = new(NativeKind.Call, 8, 0);
        t[(int)Code.Jmp_rm64] = new(NativeKind.JmpIndirect, 8, 0);
        t[(int)Code.Call_rm64] = new(NativeKind.CallIndirect, 8, 0);
        t[(int)Code.Retnq] = new(NativeKind.Ret, 8, 0);
        t[(int)Code.Retnq_imm16] = new(NativeKind.Ret, 8, 0);
        t[(int)Code.Push_r64] = new(NativeKind.PushReg, 8, 0);
        t[(int)Code.Push_rm64] = new(NativeKind.PushRm, 8, 0);
        t[(int)Code.Pushq_imm8] = new(NativeKind.PushImm, 8, 0);
        t[(int)Code.Pushq_imm32] = new(NativeKind.PushImm, 8, 0);
        t[(int)Code.Pop_r64] = new(NativeKind.PopReg, 8, 0);
        t[(int)Code.Leaveq] = new(NativeKind.Leave, 8, 0);
    }

    private static void System(NativeForm[] t)
    {
        t[(int)Code.Cmpxchg16b_m128] = new(NativeKind.Cmpxchg16b, 16, 0x0FC7, 1);
        Code[] stores = [Code.Stosb_m8_AL, Code.Stosw_m16_AX, Code.Stosd_m32_EAX, Code.Stosq_m64_RAX];
        Code[] moves = [Code.Movsb_m8_m8, Code.Movsw_m16_m16, Code.Movsd_m32_m32, Code.Movsq_m64_m64];
        for (int size = 0; size < 4; size++)
        {
            t[(int)stores[size]] = new(NativeKind.RepStos, 1 << size, Sized(0xAA, size));
            t[(int)moves[size]] = new(NativeKind.RepMovs, 1 << size, Sized(0xA4, size));
        }

        t[(int)Code.Mov_rm16_Sreg] = new(NativeKind.FromSegment, 2, 0x8C);
        t[(int)Code.Mov_r32m16_Sreg] = new(NativeKind.FromSegment, 4, 0x8C);
        t[(int)Code.Mov_r64m16_Sreg] = new(NativeKind.FromSegment, 4, 0x8C);
        t[(int)Code.Pushfq] = new(NativeKind.Pushf, 8, 0);
        t[(int)Code.Cli] = new(NativeKind.Cli, 0, 0);
        t[(int)Code.Sti] = new(NativeKind.Sti, 0, 0);
        t[(int)Code.Clac] = new(NativeKind.Clac, 0, 0);
        t[(int)Code.Stac] = new(NativeKind.Stac, 0, 0);
        t[(int)Code.Swapgs] = new(NativeKind.Swapgs, 0, 0);
    }
}
