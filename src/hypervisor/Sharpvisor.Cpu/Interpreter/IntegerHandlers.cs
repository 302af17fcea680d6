// Registers the integer instructions (Intel SDM Vol. 2). A table: long, and better read by searching.
using Iced.Intel;
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class IntegerHandlers
{
    internal static void Register(HandlerTable t)
    {
        Moves(t);
        Arithmetic(t);
        Bits(t);
        Branches(t);
        StringOps(t);
        Group1<Add>(t, Code.Add_rm8_r8, 0);
        Group1<Or>(t, Code.Or_rm8_r8, 1);
        Group1<Adc>(t, Code.Adc_rm8_r8, 2);
        Group1<Sbb>(t, Code.Sbb_rm8_r8, 3);
        Group1<And>(t, Code.And_rm8_r8, 4);
        Group1<Sub>(t, Code.Sub_rm8_r8, 5);
        Group1<Xor>(t, Code.Xor_rm8_r8, 6);
        Group1<Cmp>(t, Code.Cmp_rm8_r8, 7);
        Group2<Rol>(t, 0);
        Group2<Ror>(t, 1);
        Group2<Rcl>(t, 2);
        Group2<Rcr>(t, 3);
        Group2<Shl>(t, 4);
        Group2<Shr>(t, 5);
        Group2<Shl>(t, 6);
        Group2<Sar>(t, 7);
        Condition<IfO>(t, 0);
        Condition<IfNo>(t, 1);
        Condition<IfB>(t, 2);
        Condition<IfAe>(t, 3);
        Condition<IfE>(t, 4);
        Condition<IfNe>(t, 5);
        Condition<IfBe>(t, 6);
        Condition<IfA>(t, 7);
        Condition<IfS>(t, 8);
        Condition<IfNs>(t, 9);
        Condition<IfP>(t, 10);
        Condition<IfNp>(t, 11);
        Condition<IfL>(t, 12);
        Condition<IfGe>(t, 13);
        Condition<IfLe>(t, 14);
        Condition<IfG>(t, 15);
    }

    /// <summary>ADD and its seven sisters. Iced numbers the forms of each alike; a test holds it to that.</summary>
    private static void Group1<TOperation>(HandlerTable t, Code first, int group)
        where TOperation : struct, IAlu
    {
        Forms<TOperation, byte>(t, first, 0);
        Forms<TOperation, ushort>(t, first, 1);
        Forms<TOperation, uint>(t, first, 2);
        Forms<TOperation, ulong>(t, first, 3);
        Immediate<TOperation, byte>(t, Code.Add_rm8_imm8 + group);
        Immediate<TOperation, byte>(t, Code.Add_rm8_imm8_82 + group);
        Immediate<TOperation, ushort>(t, Code.Add_rm16_imm16 + (3 * group));
        Immediate<TOperation, uint>(t, Code.Add_rm32_imm32 + (3 * group));
        Immediate<TOperation, ulong>(t, Code.Add_rm64_imm32 + (3 * group));
        Immediate<TOperation, ushort>(t, Code.Add_rm16_imm8 + (3 * group));
        Immediate<TOperation, uint>(t, Code.Add_rm32_imm8 + (3 * group));
        Immediate<TOperation, ulong>(t, Code.Add_rm64_imm8 + (3 * group));
    }

    private static void Forms<TOperation, T>(HandlerTable t, Code first, int size)
        where TOperation : struct, IAlu
        where T : unmanaged
    {
        t.Add(first + size, &Alu<TOperation, T>.RegReg, &Alu<TOperation, T>.MemReg);
        t.Add(first + 4 + size, &Alu<TOperation, T>.RegReg, &Alu<TOperation, T>.RegMem);
        t.Add(first + 8 + size, &Alu<TOperation, T>.RegImm);
    }

    private static void Immediate<TOperation, T>(HandlerTable t, Code code)
        where TOperation : struct, IAlu
        where T : unmanaged =>
        t.Add(code, &Alu<TOperation, T>.RegImm, &Alu<TOperation, T>.MemImm);

    /// <summary>Shifts and rotates by immediate, one, CL.</summary>
    private static void Group2<TOperation>(HandlerTable t, int group)
        where TOperation : struct, IAlu
    {
        Immediate<TOperation, byte>(t, Code.Rol_rm8_imm8 + group);
        Immediate<TOperation, byte>(t, Code.Rol_rm8_1 + group);
        ByCl<TOperation, byte>(t, Code.Rol_rm8_CL + group);
        ShiftForms<TOperation, ushort>(t, (3 * group) + 0);
        ShiftForms<TOperation, uint>(t, (3 * group) + 1);
        ShiftForms<TOperation, ulong>(t, (3 * group) + 2);
    }

    private static void ShiftForms<TOperation, T>(HandlerTable t, int offset)
        where TOperation : struct, IAlu
        where T : unmanaged
    {
        Immediate<TOperation, T>(t, Code.Rol_rm16_imm8 + offset);
        Immediate<TOperation, T>(t, Code.Rol_rm16_1 + offset);
        ByCl<TOperation, T>(t, Code.Rol_rm16_CL + offset);
    }

    private static void ByCl<TOperation, T>(HandlerTable t, Code code)
        where TOperation : struct, IAlu
        where T : unmanaged =>
        t.Add(code, &Alu<TOperation, T>.RegReg, &Alu<TOperation, T>.MemReg);

    private static void Condition<TCondition>(HandlerTable t, int condition)
        where TCondition : struct, ICondition
    {
        t.Add(Code.Jo_rel8_16 + (3 * condition), &Branch.Jcc16<TCondition>);
        t.Add(Code.Jo_rel8_32 + (3 * condition), &Branch.Jcc32<TCondition>);
        t.Add(Code.Jo_rel8_64 + (3 * condition), &Branch.Jcc64<TCondition>);
        t.Add(Code.Jo_rel16 + (3 * condition), &Branch.Jcc16<TCondition>);
        t.Add(Code.Jo_rel32_32 + (3 * condition), &Branch.Jcc32<TCondition>);
        t.Add(Code.Jo_rel32_64 + (3 * condition), &Branch.Jcc64<TCondition>);
        t.Add(Code.Seto_rm8 + condition, &Conditional<TCondition>.Set);
        t.Add(Code.Cmovo_r16_rm16 + (3 * condition), &Conditional<TCondition>.Move<ushort>);
        t.Add(Code.Cmovo_r32_rm32 + (3 * condition), &Conditional<TCondition>.Move<uint>);
        t.Add(Code.Cmovo_r64_rm64 + (3 * condition), &Conditional<TCondition>.Move<ulong>);
    }

    private static void Moves(HandlerTable t)
    {
        t.Add(Code.Mov_rm8_r8, &Move<byte>.RegReg, &Move<byte>.Store);
        t.Add(Code.Mov_r8_rm8, &Move<byte>.RegReg, &Move<byte>.Load);
        t.Add(Code.Mov_AL_moffs8, &Move<byte>.Load);
        t.Add(Code.Mov_moffs8_AL, &Move<byte>.Store);
        t.Add(Code.Mov_r8_imm8, &Move<byte>.RegImm);
        t.Add(Code.Mov_rm8_imm8, &Move<byte>.RegImm, &Move<byte>.StoreImm);
        t.Add(Code.Xchg_rm8_r8, &Move<byte>.XchgReg, &Move<byte>.XchgMem);
        t.Add(Code.Xadd_rm8_r8, &Exchange<byte>.Xadd);
        t.Add(Code.Cmpxchg_rm8_r8, &Exchange<byte>.Cmpxchg);
        t.Add(Code.Mov_rm16_r16, &Move<ushort>.RegReg, &Move<ushort>.Store);
        t.Add(Code.Mov_r16_rm16, &Move<ushort>.RegReg, &Move<ushort>.Load);
        t.Add(Code.Mov_AX_moffs16, &Move<ushort>.Load);
        t.Add(Code.Mov_moffs16_AX, &Move<ushort>.Store);
        t.Add(Code.Mov_r16_imm16, &Move<ushort>.RegImm);
        t.Add(Code.Mov_rm16_imm16, &Move<ushort>.RegImm, &Move<ushort>.StoreImm);
        t.Add(Code.Xchg_rm16_r16, &Move<ushort>.XchgReg, &Move<ushort>.XchgMem);
        t.Add(Code.Xadd_rm16_r16, &Exchange<ushort>.Xadd);
        t.Add(Code.Cmpxchg_rm16_r16, &Exchange<ushort>.Cmpxchg);
        t.Add(Code.Xchg_r16_AX, &Move<ushort>.XchgReg);
        t.Add(Code.Lea_r16_m, &Move<ushort>.Lea);
        t.Add(Code.Push_r16, &Move<ushort>.PushReg);
        t.Add(Code.Push_rm16, &Move<ushort>.PushReg, &Move<ushort>.PushMem);
        t.Add(Code.Pop_r16, &Move<ushort>.PopReg);
        t.Add(Code.Pop_rm16, &Move<ushort>.PopReg, &Move<ushort>.PopMem);
        t.Add(Code.Bswap_r16, &Move<ushort>.Bswap);
        t.Add(Code.Movbe_r16_m16, &Move<ushort>.Movbe);
        t.Add(Code.Movbe_m16_r16, &Move<ushort>.MovbeStore);
        t.Add(Code.Movzx_r16_rm8, &Extend<ushort, byte>.ZeroReg, &Extend<ushort, byte>.ZeroMem);
        t.Add(Code.Movsx_r16_rm8, &Extend<ushort, byte>.SignReg, &Extend<ushort, byte>.SignMem);
        t.Add(Code.Movzx_r16_rm16, &Extend<ushort, ushort>.ZeroReg, &Extend<ushort, ushort>.ZeroMem);
        t.Add(Code.Movsx_r16_rm16, &Extend<ushort, ushort>.SignReg, &Extend<ushort, ushort>.SignMem);
        t.Add(Code.Movsxd_r16_rm16, &Extend<ushort, ushort>.SignReg, &Extend<ushort, ushort>.SignMem);
        t.Add(Code.Pushw_imm8, &Move<ushort>.PushImm);
        t.Add(Code.Push_imm16, &Move<ushort>.PushImm);
        t.Add(Code.Leavew, &Move<ushort>.Leave);
        t.Add(Code.Enterw_imm16_imm8, &Move<ushort>.Enter);
        t.Add(Code.Pushaw, &Move<ushort>.Pusha);
        t.Add(Code.Popaw, &Move<ushort>.Popa);
        t.Add(Code.Pushfw, &MoveMisc.Pushf<ushort>);
        t.Add(Code.Popfw, &MoveMisc.Popf<ushort>);
        t.Add(Code.Cbw, &Move<ushort>.Cbw);
        t.Add(Code.Cwd, &Move<ushort>.Cwd);
        t.Add(Code.Nopw, &MoveMisc.Nop);
        t.Add(Code.Nop_rm16, &MoveMisc.Nop);
        t.Add(Code.Rdrand_r16, &Miscellaneous.Random<ushort>);
        t.Add(Code.Rdseed_r16, &Miscellaneous.Random<ushort>);
        t.Add(Code.Mov_rm32_r32, &Move<uint>.RegReg, &Move<uint>.Store);
        t.Add(Code.Mov_r32_rm32, &Move<uint>.RegReg, &Move<uint>.Load);
        t.Add(Code.Mov_EAX_moffs32, &Move<uint>.Load);
        t.Add(Code.Mov_moffs32_EAX, &Move<uint>.Store);
        t.Add(Code.Mov_r32_imm32, &Move<uint>.RegImm);
        t.Add(Code.Mov_rm32_imm32, &Move<uint>.RegImm, &Move<uint>.StoreImm);
        t.Add(Code.Xchg_rm32_r32, &Move<uint>.XchgReg, &Move<uint>.XchgMem);
        t.Add(Code.Xadd_rm32_r32, &Exchange<uint>.Xadd);
        t.Add(Code.Cmpxchg_rm32_r32, &Exchange<uint>.Cmpxchg);
        t.Add(Code.Xchg_r32_EAX, &Move<uint>.XchgReg);
        t.Add(Code.Lea_r32_m, &Move<uint>.Lea);
        t.Add(Code.Push_r32, &Move<uint>.PushReg);
        t.Add(Code.Push_rm32, &Move<uint>.PushReg, &Move<uint>.PushMem);
        t.Add(Code.Pop_r32, &Move<uint>.PopReg);
        t.Add(Code.Pop_rm32, &Move<uint>.PopReg, &Move<uint>.PopMem);
        t.Add(Code.Bswap_r32, &Move<uint>.Bswap);
        t.Add(Code.Movbe_r32_m32, &Move<uint>.Movbe);
        t.Add(Code.Movbe_m32_r32, &Move<uint>.MovbeStore);
        t.Add(Code.Movzx_r32_rm8, &Extend<uint, byte>.ZeroReg, &Extend<uint, byte>.ZeroMem);
        t.Add(Code.Movsx_r32_rm8, &Extend<uint, byte>.SignReg, &Extend<uint, byte>.SignMem);
        t.Add(Code.Movzx_r32_rm16, &Extend<uint, ushort>.ZeroReg, &Extend<uint, ushort>.ZeroMem);
        t.Add(Code.Movsx_r32_rm16, &Extend<uint, ushort>.SignReg, &Extend<uint, ushort>.SignMem);
        t.Add(Code.Movsxd_r32_rm32, &Extend<uint, uint>.SignReg, &Extend<uint, uint>.SignMem);
        t.Add(Code.Pushd_imm8, &Move<uint>.PushImm);
        t.Add(Code.Pushd_imm32, &Move<uint>.PushImm);
        t.Add(Code.Leaved, &Move<uint>.Leave);
        t.Add(Code.Enterd_imm16_imm8, &Move<uint>.Enter);
        t.Add(Code.Pushad, &Move<uint>.Pusha);
        t.Add(Code.Popad, &Move<uint>.Popa);
        t.Add(Code.Pushfd, &MoveMisc.Pushf<uint>);
        t.Add(Code.Popfd, &MoveMisc.Popf<uint>);
        t.Add(Code.Cwde, &Move<uint>.Cbw);
        t.Add(Code.Cdq, &Move<uint>.Cwd);
        t.Add(Code.Nopd, &MoveMisc.Nop);
        t.Add(Code.Nop_rm32, &MoveMisc.Nop);
        t.Add(Code.Rdrand_r32, &Miscellaneous.Random<uint>);
        t.Add(Code.Rdseed_r32, &Miscellaneous.Random<uint>);
        t.Add(Code.Mov_rm64_r64, &Move<ulong>.RegReg, &Move<ulong>.Store);
        t.Add(Code.Mov_r64_rm64, &Move<ulong>.RegReg, &Move<ulong>.Load);
        t.Add(Code.Mov_RAX_moffs64, &Move<ulong>.Load);
        t.Add(Code.Mov_moffs64_RAX, &Move<ulong>.Store);
        t.Add(Code.Mov_r64_imm64, &Move<ulong>.RegImm);
        t.Add(Code.Mov_rm64_imm32, &Move<ulong>.RegImm, &Move<ulong>.StoreImm);
        t.Add(Code.Xchg_rm64_r64, &Move<ulong>.XchgReg, &Move<ulong>.XchgMem);
        t.Add(Code.Xadd_rm64_r64, &Exchange<ulong>.Xadd);
        t.Add(Code.Cmpxchg_rm64_r64, &Exchange<ulong>.Cmpxchg);
        t.Add(Code.Xchg_r64_RAX, &Move<ulong>.XchgReg);
        t.Add(Code.Lea_r64_m, &Move<ulong>.Lea);
        t.Add(Code.Push_r64, &Move<ulong>.PushReg);
        t.Add(Code.Push_rm64, &Move<ulong>.PushReg, &Move<ulong>.PushMem);
        t.Add(Code.Pop_r64, &Move<ulong>.PopReg);
        t.Add(Code.Pop_rm64, &Move<ulong>.PopReg, &Move<ulong>.PopMem);
        t.Add(Code.Bswap_r64, &Move<ulong>.Bswap);
        t.Add(Code.Movbe_r64_m64, &Move<ulong>.Movbe);
        t.Add(Code.Movbe_m64_r64, &Move<ulong>.MovbeStore);
        t.Add(Code.Movzx_r64_rm8, &Extend<ulong, byte>.ZeroReg, &Extend<ulong, byte>.ZeroMem);
        t.Add(Code.Movsx_r64_rm8, &Extend<ulong, byte>.SignReg, &Extend<ulong, byte>.SignMem);
        t.Add(Code.Movzx_r64_rm16, &Extend<ulong, ushort>.ZeroReg, &Extend<ulong, ushort>.ZeroMem);
        t.Add(Code.Movsx_r64_rm16, &Extend<ulong, ushort>.SignReg, &Extend<ulong, ushort>.SignMem);
        t.Add(Code.Movsxd_r64_rm32, &Extend<ulong, uint>.SignReg, &Extend<ulong, uint>.SignMem);
        t.Add(Code.Pushq_imm8, &Move<ulong>.PushImm);
        t.Add(Code.Pushq_imm32, &Move<ulong>.PushImm);
        t.Add(Code.Leaveq, &Move<ulong>.Leave);
        t.Add(Code.Enterq_imm16_imm8, &Move<ulong>.Enter);
        t.Add(Code.Pushfq, &MoveMisc.Pushf<ulong>);
        t.Add(Code.Popfq, &MoveMisc.Popf<ulong>);
        t.Add(Code.Cdqe, &Move<ulong>.Cbw);
        t.Add(Code.Cqo, &Move<ulong>.Cwd);
        t.Add(Code.Nopq, &MoveMisc.Nop);
        t.Add(Code.Nop_rm64, &MoveMisc.Nop);
        t.Add(Code.Rdrand_r64, &Miscellaneous.Random<ulong>);
        t.Add(Code.Rdseed_r64, &Miscellaneous.Random<ulong>);
        t.Add(Code.Cmpxchg8b_m64, &ExchangeWide.Cmpxchg8b);
        t.Add(Code.Cmpxchg16b_m128, &ExchangeWide.Cmpxchg16b);
        t.Add(Code.Xlat_m8, &MoveMisc.Xlat);
        t.Add(Code.Lahf, &MoveMisc.Lahf);
        t.Add(Code.Sahf, &MoveMisc.Sahf);
        t.Add(Code.Salc, &MoveMisc.Salc);
        t.Add(Code.Cmc, &MoveMisc.Cmc);
        t.Add(Code.Clc, &MoveMisc.Clc);
        t.Add(Code.Stc, &MoveMisc.Stc);
        t.Add(Code.Cld, &MoveMisc.Cld);
        t.Add(Code.Std, &MoveMisc.Std);
        t.Add(Code.Pause, &MoveMisc.Nop);
        t.Add(Code.Endbr64, &MoveMisc.Nop);
        t.Add(Code.Endbr32, &MoveMisc.Nop);
        t.Add(Code.Cldemote_m8, &MoveMisc.Nop);
        t.Add(Code.Clflush_m8, &MoveMisc.FlushLine);
        t.Add(Code.Clflushopt_m8, &MoveMisc.FlushLine);
        t.Add(Code.Clwb_m8, &MoveMisc.FlushLine);
        t.Add(Code.Lfence, &MoveMisc.Nop);
        t.Add(Code.Lfence_E9, &MoveMisc.Nop);
        t.Add(Code.Lfence_EA, &MoveMisc.Nop);
        t.Add(Code.Lfence_EB, &MoveMisc.Nop);
        t.Add(Code.Lfence_EC, &MoveMisc.Nop);
        t.Add(Code.Lfence_ED, &MoveMisc.Nop);
        t.Add(Code.Lfence_EE, &MoveMisc.Nop);
        t.Add(Code.Lfence_EF, &MoveMisc.Nop);
        t.Add(Code.Mfence, &MoveMisc.Fence);
        t.Add(Code.Mfence_F1, &MoveMisc.Fence);
        t.Add(Code.Mfence_F2, &MoveMisc.Fence);
        t.Add(Code.Mfence_F3, &MoveMisc.Fence);
        t.Add(Code.Mfence_F4, &MoveMisc.Fence);
        t.Add(Code.Mfence_F5, &MoveMisc.Fence);
        t.Add(Code.Mfence_F6, &MoveMisc.Fence);
        t.Add(Code.Mfence_F7, &MoveMisc.Fence);
        t.Add(Code.Prefetch_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchit0_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchit1_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchnta_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchreserved3_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchreserved4_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchreserved5_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchreserved6_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchreserved7_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetcht0_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetcht1_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetcht2_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchw_m8, &MoveMisc.Nop);
        t.Add(Code.Prefetchwt1_m8, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F0D, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F18, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F19, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F1A, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F1B, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F1C, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F1D, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F1E, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm16_r16_0F1F, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F0D, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F18, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F19, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F1A, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F1B, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F1C, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F1D, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F1E, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm32_r32_0F1F, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F0D, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F18, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F19, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F1A, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F1B, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F1C, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F1D, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F1E, &MoveMisc.Nop);
        t.Add(Code.Reservednop_rm64_r64_0F1F, &MoveMisc.Nop);
        t.Add(Code.Sfence, &MoveMisc.Nop);
        t.Add(Code.Sfence_F9, &MoveMisc.Nop);
        t.Add(Code.Sfence_FA, &MoveMisc.Nop);
        t.Add(Code.Sfence_FB, &MoveMisc.Nop);
        t.Add(Code.Sfence_FC, &MoveMisc.Nop);
        t.Add(Code.Sfence_FD, &MoveMisc.Nop);
        t.Add(Code.Sfence_FE, &MoveMisc.Nop);
        t.Add(Code.Sfence_FF, &MoveMisc.Nop);
        t.Add(Code.Bound_r16_m1616, &Miscellaneous.Bound<ushort>);
        t.Add(Code.Bound_r32_m3232, &Miscellaneous.Bound<uint>);
        t.Add(Code.Aaa, &DecimalAdjust.Aaa);
        t.Add(Code.Aas, &DecimalAdjust.Aas);
        t.Add(Code.Daa, &DecimalAdjust.Daa);
        t.Add(Code.Das, &DecimalAdjust.Das);
        t.Add(Code.Aam_imm8, &DecimalAdjust.Aam);
        t.Add(Code.Aad_imm8, &DecimalAdjust.Aad);
    }

    private static void Arithmetic(HandlerTable t)
    {
        t.Add(Code.Mul_rm8, &MulDiv<byte>.Mul);
        t.Add(Code.Imul_rm8, &MulDiv<byte>.Imul);
        t.Add(Code.Div_rm8, &MulDiv<byte>.Div);
        t.Add(Code.Idiv_rm8, &MulDiv<byte>.Idiv);
        t.Add(Code.Inc_rm8, &Alu<Inc, byte>.Reg, &Alu<Inc, byte>.Mem);
        t.Add(Code.Dec_rm8, &Alu<Dec, byte>.Reg, &Alu<Dec, byte>.Mem);
        t.Add(Code.Neg_rm8, &Alu<Neg, byte>.Reg, &Alu<Neg, byte>.Mem);
        t.Add(Code.Not_rm8, &Alu<Not, byte>.Reg, &Alu<Not, byte>.Mem);
        t.Add(Code.Test_rm8_r8, &Alu<Test, byte>.RegReg, &Alu<Test, byte>.MemReg);
        t.Add(Code.Test_AL_imm8, &Alu<Test, byte>.RegImm);
        t.Add(Code.Test_rm8_imm8, &Alu<Test, byte>.RegImm, &Alu<Test, byte>.MemImm);
        t.Add(Code.Test_rm8_imm8_F6r1, &Alu<Test, byte>.RegImm, &Alu<Test, byte>.MemImm);
        t.Add(Code.Mul_rm16, &MulDiv<ushort>.Mul);
        t.Add(Code.Imul_rm16, &MulDiv<ushort>.Imul);
        t.Add(Code.Div_rm16, &MulDiv<ushort>.Div);
        t.Add(Code.Idiv_rm16, &MulDiv<ushort>.Idiv);
        t.Add(Code.Imul_r16_rm16, &MulDiv<ushort>.Imul2);
        t.Add(Code.Imul_r16_rm16_imm16, &MulDiv<ushort>.Imul3);
        t.Add(Code.Imul_r16_rm16_imm8, &MulDiv<ushort>.Imul3);
        t.Add(Code.Inc_rm16, &Alu<Inc, ushort>.Reg, &Alu<Inc, ushort>.Mem);
        t.Add(Code.Inc_r16, &Alu<Inc, ushort>.Reg);
        t.Add(Code.Dec_rm16, &Alu<Dec, ushort>.Reg, &Alu<Dec, ushort>.Mem);
        t.Add(Code.Dec_r16, &Alu<Dec, ushort>.Reg);
        t.Add(Code.Neg_rm16, &Alu<Neg, ushort>.Reg, &Alu<Neg, ushort>.Mem);
        t.Add(Code.Not_rm16, &Alu<Not, ushort>.Reg, &Alu<Not, ushort>.Mem);
        t.Add(Code.Test_rm16_r16, &Alu<Test, ushort>.RegReg, &Alu<Test, ushort>.MemReg);
        t.Add(Code.Test_AX_imm16, &Alu<Test, ushort>.RegImm);
        t.Add(Code.Test_rm16_imm16, &Alu<Test, ushort>.RegImm, &Alu<Test, ushort>.MemImm);
        t.Add(Code.Test_rm16_imm16_F7r1, &Alu<Test, ushort>.RegImm, &Alu<Test, ushort>.MemImm);
        t.Add(Code.Shld_rm16_r16_imm8, &DoubleShift<ushort>.ShldImm);
        t.Add(Code.Shld_rm16_r16_CL, &DoubleShift<ushort>.ShldCl);
        t.Add(Code.Shrd_rm16_r16_imm8, &DoubleShift<ushort>.ShrdImm);
        t.Add(Code.Shrd_rm16_r16_CL, &DoubleShift<ushort>.ShrdCl);
        t.Add(Code.Mul_rm32, &MulDiv<uint>.Mul);
        t.Add(Code.Imul_rm32, &MulDiv<uint>.Imul);
        t.Add(Code.Div_rm32, &MulDiv<uint>.Div);
        t.Add(Code.Idiv_rm32, &MulDiv<uint>.Idiv);
        t.Add(Code.Imul_r32_rm32, &MulDiv<uint>.Imul2);
        t.Add(Code.Imul_r32_rm32_imm32, &MulDiv<uint>.Imul3);
        t.Add(Code.Imul_r32_rm32_imm8, &MulDiv<uint>.Imul3);
        t.Add(Code.Inc_rm32, &Alu<Inc, uint>.Reg, &Alu<Inc, uint>.Mem);
        t.Add(Code.Inc_r32, &Alu<Inc, uint>.Reg);
        t.Add(Code.Dec_rm32, &Alu<Dec, uint>.Reg, &Alu<Dec, uint>.Mem);
        t.Add(Code.Dec_r32, &Alu<Dec, uint>.Reg);
        t.Add(Code.Neg_rm32, &Alu<Neg, uint>.Reg, &Alu<Neg, uint>.Mem);
        t.Add(Code.Not_rm32, &Alu<Not, uint>.Reg, &Alu<Not, uint>.Mem);
        t.Add(Code.Test_rm32_r32, &Alu<Test, uint>.RegReg, &Alu<Test, uint>.MemReg);
        t.Add(Code.Test_EAX_imm32, &Alu<Test, uint>.RegImm);
        t.Add(Code.Test_rm32_imm32, &Alu<Test, uint>.RegImm, &Alu<Test, uint>.MemImm);
        t.Add(Code.Test_rm32_imm32_F7r1, &Alu<Test, uint>.RegImm, &Alu<Test, uint>.MemImm);
        t.Add(Code.Shld_rm32_r32_imm8, &DoubleShift<uint>.ShldImm);
        t.Add(Code.Shld_rm32_r32_CL, &DoubleShift<uint>.ShldCl);
        t.Add(Code.Shrd_rm32_r32_imm8, &DoubleShift<uint>.ShrdImm);
        t.Add(Code.Shrd_rm32_r32_CL, &DoubleShift<uint>.ShrdCl);
        t.Add(Code.Mul_rm64, &MulDiv<ulong>.Mul);
        t.Add(Code.Imul_rm64, &MulDiv<ulong>.Imul);
        t.Add(Code.Div_rm64, &MulDiv<ulong>.Div);
        t.Add(Code.Idiv_rm64, &MulDiv<ulong>.Idiv);
        t.Add(Code.Imul_r64_rm64, &MulDiv<ulong>.Imul2);
        t.Add(Code.Imul_r64_rm64_imm32, &MulDiv<ulong>.Imul3);
        t.Add(Code.Imul_r64_rm64_imm8, &MulDiv<ulong>.Imul3);
        t.Add(Code.Inc_rm64, &Alu<Inc, ulong>.Reg, &Alu<Inc, ulong>.Mem);
        t.Add(Code.Dec_rm64, &Alu<Dec, ulong>.Reg, &Alu<Dec, ulong>.Mem);
        t.Add(Code.Neg_rm64, &Alu<Neg, ulong>.Reg, &Alu<Neg, ulong>.Mem);
        t.Add(Code.Not_rm64, &Alu<Not, ulong>.Reg, &Alu<Not, ulong>.Mem);
        t.Add(Code.Test_rm64_r64, &Alu<Test, ulong>.RegReg, &Alu<Test, ulong>.MemReg);
        t.Add(Code.Test_RAX_imm32, &Alu<Test, ulong>.RegImm);
        t.Add(Code.Test_rm64_imm32, &Alu<Test, ulong>.RegImm, &Alu<Test, ulong>.MemImm);
        t.Add(Code.Test_rm64_imm32_F7r1, &Alu<Test, ulong>.RegImm, &Alu<Test, ulong>.MemImm);
        t.Add(Code.Shld_rm64_r64_imm8, &DoubleShift<ulong>.ShldImm);
        t.Add(Code.Shld_rm64_r64_CL, &DoubleShift<ulong>.ShldCl);
        t.Add(Code.Shrd_rm64_r64_imm8, &DoubleShift<ulong>.ShrdImm);
        t.Add(Code.Shrd_rm64_r64_CL, &DoubleShift<ulong>.ShrdCl);
    }

    private static void Bits(HandlerTable t)
    {
        t.Add(Code.Bt_rm16_r16, &BitTest<ushort, BitKeep>.RegReg, &BitTest<ushort, BitKeep>.MemReg);
        t.Add(Code.Bt_rm16_imm8, &BitTest<ushort, BitKeep>.RegImm, &BitTest<ushort, BitKeep>.MemImm);
        t.Add(Code.Bts_rm16_r16, &BitTest<ushort, BitSet>.RegReg, &BitTest<ushort, BitSet>.MemReg);
        t.Add(Code.Bts_rm16_imm8, &BitTest<ushort, BitSet>.RegImm, &BitTest<ushort, BitSet>.MemImm);
        t.Add(Code.Btr_rm16_r16, &BitTest<ushort, BitReset>.RegReg, &BitTest<ushort, BitReset>.MemReg);
        t.Add(Code.Btr_rm16_imm8, &BitTest<ushort, BitReset>.RegImm, &BitTest<ushort, BitReset>.MemImm);
        t.Add(Code.Btc_rm16_r16, &BitTest<ushort, BitComplement>.RegReg, &BitTest<ushort, BitComplement>.MemReg);
        t.Add(Code.Btc_rm16_imm8, &BitTest<ushort, BitComplement>.RegImm, &BitTest<ushort, BitComplement>.MemImm);
        t.Add(Code.Bsf_r16_rm16, &BitScan<ushort>.Bsf);
        t.Add(Code.Bsr_r16_rm16, &BitScan<ushort>.Bsr);
        t.Add(Code.Tzcnt_r16_rm16, &BitScan<ushort>.Tzcnt);
        t.Add(Code.Lzcnt_r16_rm16, &BitScan<ushort>.Lzcnt);
        t.Add(Code.Popcnt_r16_rm16, &BitScan<ushort>.Popcnt);
        t.Add(Code.Bt_rm32_r32, &BitTest<uint, BitKeep>.RegReg, &BitTest<uint, BitKeep>.MemReg);
        t.Add(Code.Bt_rm32_imm8, &BitTest<uint, BitKeep>.RegImm, &BitTest<uint, BitKeep>.MemImm);
        t.Add(Code.Bts_rm32_r32, &BitTest<uint, BitSet>.RegReg, &BitTest<uint, BitSet>.MemReg);
        t.Add(Code.Bts_rm32_imm8, &BitTest<uint, BitSet>.RegImm, &BitTest<uint, BitSet>.MemImm);
        t.Add(Code.Btr_rm32_r32, &BitTest<uint, BitReset>.RegReg, &BitTest<uint, BitReset>.MemReg);
        t.Add(Code.Btr_rm32_imm8, &BitTest<uint, BitReset>.RegImm, &BitTest<uint, BitReset>.MemImm);
        t.Add(Code.Btc_rm32_r32, &BitTest<uint, BitComplement>.RegReg, &BitTest<uint, BitComplement>.MemReg);
        t.Add(Code.Btc_rm32_imm8, &BitTest<uint, BitComplement>.RegImm, &BitTest<uint, BitComplement>.MemImm);
        t.Add(Code.Bsf_r32_rm32, &BitScan<uint>.Bsf);
        t.Add(Code.Bsr_r32_rm32, &BitScan<uint>.Bsr);
        t.Add(Code.Tzcnt_r32_rm32, &BitScan<uint>.Tzcnt);
        t.Add(Code.Lzcnt_r32_rm32, &BitScan<uint>.Lzcnt);
        t.Add(Code.Popcnt_r32_rm32, &BitScan<uint>.Popcnt);
        t.Add(Code.VEX_Andn_r32_r32_rm32, &Bmi<uint>.Andn);
        t.Add(Code.VEX_Pdep_r32_r32_rm32, &Bmi<uint>.Pdep);
        t.Add(Code.VEX_Pext_r32_r32_rm32, &Bmi<uint>.Pext);
        t.Add(Code.VEX_Mulx_r32_r32_rm32, &Bmi<uint>.Mulx);
        t.Add(Code.VEX_Blsr_r32_rm32, &Bmi<uint>.Blsr);
        t.Add(Code.VEX_Blsmsk_r32_rm32, &Bmi<uint>.Blsmsk);
        t.Add(Code.VEX_Blsi_r32_rm32, &Bmi<uint>.Blsi);
        t.Add(Code.VEX_Bextr_r32_rm32_r32, &Bmi<uint>.Bextr);
        t.Add(Code.VEX_Bzhi_r32_rm32_r32, &Bmi<uint>.Bzhi);
        t.Add(Code.VEX_Shlx_r32_rm32_r32, &Bmi<uint>.Shlx);
        t.Add(Code.VEX_Shrx_r32_rm32_r32, &Bmi<uint>.Shrx);
        t.Add(Code.VEX_Sarx_r32_rm32_r32, &Bmi<uint>.Sarx);
        t.Add(Code.VEX_Rorx_r32_rm32_imm8, &Bmi<uint>.Rorx);
        t.Add(Code.Adcx_r32_rm32, &Bmi<uint>.Adcx);
        t.Add(Code.Adox_r32_rm32, &Bmi<uint>.Adox);
        t.Add(Code.Bt_rm64_r64, &BitTest<ulong, BitKeep>.RegReg, &BitTest<ulong, BitKeep>.MemReg);
        t.Add(Code.Bt_rm64_imm8, &BitTest<ulong, BitKeep>.RegImm, &BitTest<ulong, BitKeep>.MemImm);
        t.Add(Code.Bts_rm64_r64, &BitTest<ulong, BitSet>.RegReg, &BitTest<ulong, BitSet>.MemReg);
        t.Add(Code.Bts_rm64_imm8, &BitTest<ulong, BitSet>.RegImm, &BitTest<ulong, BitSet>.MemImm);
        t.Add(Code.Btr_rm64_r64, &BitTest<ulong, BitReset>.RegReg, &BitTest<ulong, BitReset>.MemReg);
        t.Add(Code.Btr_rm64_imm8, &BitTest<ulong, BitReset>.RegImm, &BitTest<ulong, BitReset>.MemImm);
        t.Add(Code.Btc_rm64_r64, &BitTest<ulong, BitComplement>.RegReg, &BitTest<ulong, BitComplement>.MemReg);
        t.Add(Code.Btc_rm64_imm8, &BitTest<ulong, BitComplement>.RegImm, &BitTest<ulong, BitComplement>.MemImm);
        t.Add(Code.Bsf_r64_rm64, &BitScan<ulong>.Bsf);
        t.Add(Code.Bsr_r64_rm64, &BitScan<ulong>.Bsr);
        t.Add(Code.Tzcnt_r64_rm64, &BitScan<ulong>.Tzcnt);
        t.Add(Code.Lzcnt_r64_rm64, &BitScan<ulong>.Lzcnt);
        t.Add(Code.Popcnt_r64_rm64, &BitScan<ulong>.Popcnt);
        t.Add(Code.VEX_Andn_r64_r64_rm64, &Bmi<ulong>.Andn);
        t.Add(Code.VEX_Pdep_r64_r64_rm64, &Bmi<ulong>.Pdep);
        t.Add(Code.VEX_Pext_r64_r64_rm64, &Bmi<ulong>.Pext);
        t.Add(Code.VEX_Mulx_r64_r64_rm64, &Bmi<ulong>.Mulx);
        t.Add(Code.VEX_Blsr_r64_rm64, &Bmi<ulong>.Blsr);
        t.Add(Code.VEX_Blsmsk_r64_rm64, &Bmi<ulong>.Blsmsk);
        t.Add(Code.VEX_Blsi_r64_rm64, &Bmi<ulong>.Blsi);
        t.Add(Code.VEX_Bextr_r64_rm64_r64, &Bmi<ulong>.Bextr);
        t.Add(Code.VEX_Bzhi_r64_rm64_r64, &Bmi<ulong>.Bzhi);
        t.Add(Code.VEX_Shlx_r64_rm64_r64, &Bmi<ulong>.Shlx);
        t.Add(Code.VEX_Shrx_r64_rm64_r64, &Bmi<ulong>.Shrx);
        t.Add(Code.VEX_Sarx_r64_rm64_r64, &Bmi<ulong>.Sarx);
        t.Add(Code.VEX_Rorx_r64_rm64_imm8, &Bmi<ulong>.Rorx);
        t.Add(Code.Adcx_r64_rm64, &Bmi<ulong>.Adcx);
        t.Add(Code.Adox_r64_rm64, &Bmi<ulong>.Adox);
        t.Add(Code.Crc32_r32_rm8, &BitScan<byte>.Crc32);
        t.Add(Code.Crc32_r64_rm8, &BitScan<byte>.Crc32);
        t.Add(Code.Crc32_r32_rm16, &BitScan<ushort>.Crc32);
        t.Add(Code.Crc32_r32_rm32, &BitScan<uint>.Crc32);
        t.Add(Code.Crc32_r64_rm64, &BitScan<ulong>.Crc32);
    }

    private static void Branches(HandlerTable t)
    {
        t.Add(Code.Jmp_rel8_64, &Branch.JmpShort64);
        t.Add(Code.Jmp_rel32_64, &Branch.JmpShort64);
        t.Add(Code.Jmp_rel8_32, &Branch.JmpNear32);
        t.Add(Code.Jmp_rel32_32, &Branch.JmpNear32);
        t.Add(Code.Jmp_rel8_16, &Branch.JmpNear16);
        t.Add(Code.Jmp_rel16, &Branch.JmpNear16);
        t.Add(Code.Call_rel32_64, &Branch.CallNear64);
        t.Add(Code.Call_rel32_32, &Branch.CallNear<uint>);
        t.Add(Code.Call_rel16, &Branch.CallNear<ushort>);
        t.Add(Code.Jmp_rm16, &Branch.JmpIndirect<ushort>);
        t.Add(Code.Call_rm16, &Branch.CallIndirect<ushort>);
        t.Add(Code.Retnw, &Branch.Ret<ushort>);
        t.Add(Code.Retnw_imm16, &Branch.Ret<ushort>);
        t.Add(Code.Loop_rel8_16_CX, &Branch.Loop<ushort, ushort, IfAlways>);
        t.Add(Code.Loope_rel8_16_CX, &Branch.Loop<ushort, ushort, IfE>);
        t.Add(Code.Loopne_rel8_16_CX, &Branch.Loop<ushort, ushort, IfNe>);
        t.Add(Code.Jcxz_rel8_16, &Branch.Jcxz<ushort, ushort>);
        t.Add(Code.Loop_rel8_16_ECX, &Branch.Loop<uint, ushort, IfAlways>);
        t.Add(Code.Loope_rel8_16_ECX, &Branch.Loop<uint, ushort, IfE>);
        t.Add(Code.Loopne_rel8_16_ECX, &Branch.Loop<uint, ushort, IfNe>);
        t.Add(Code.Jecxz_rel8_16, &Branch.Jcxz<uint, ushort>);
        t.Add(Code.Loop_rel8_16_RCX, &Branch.Loop<ulong, ushort, IfAlways>);
        t.Add(Code.Loope_rel8_16_RCX, &Branch.Loop<ulong, ushort, IfE>);
        t.Add(Code.Loopne_rel8_16_RCX, &Branch.Loop<ulong, ushort, IfNe>);
        t.Add(Code.Jrcxz_rel8_16, &Branch.Jcxz<ulong, ushort>);
        t.Add(Code.Jmp_rm32, &Branch.JmpIndirect<uint>);
        t.Add(Code.Call_rm32, &Branch.CallIndirect<uint>);
        t.Add(Code.Retnd, &Branch.Ret<uint>);
        t.Add(Code.Retnd_imm16, &Branch.Ret<uint>);
        t.Add(Code.Loop_rel8_32_CX, &Branch.Loop<ushort, uint, IfAlways>);
        t.Add(Code.Loope_rel8_32_CX, &Branch.Loop<ushort, uint, IfE>);
        t.Add(Code.Loopne_rel8_32_CX, &Branch.Loop<ushort, uint, IfNe>);
        t.Add(Code.Jcxz_rel8_32, &Branch.Jcxz<ushort, uint>);
        t.Add(Code.Loop_rel8_32_ECX, &Branch.Loop<uint, uint, IfAlways>);
        t.Add(Code.Loope_rel8_32_ECX, &Branch.Loop<uint, uint, IfE>);
        t.Add(Code.Loopne_rel8_32_ECX, &Branch.Loop<uint, uint, IfNe>);
        t.Add(Code.Jecxz_rel8_32, &Branch.Jcxz<uint, uint>);
        t.Add(Code.Jmp_rm64, &Branch.JmpIndirect<ulong>);
        t.Add(Code.Call_rm64, &Branch.CallIndirect<ulong>);
        t.Add(Code.Retnq, &Branch.Ret64);
        t.Add(Code.Retnq_imm16, &Branch.Ret64);
        t.Add(Code.Loop_rel8_64_ECX, &Branch.Loop<uint, ulong, IfAlways>);
        t.Add(Code.Loope_rel8_64_ECX, &Branch.Loop<uint, ulong, IfE>);
        t.Add(Code.Loopne_rel8_64_ECX, &Branch.Loop<uint, ulong, IfNe>);
        t.Add(Code.Jecxz_rel8_64, &Branch.Jcxz<uint, ulong>);
        t.Add(Code.Loop_rel8_64_RCX, &Branch.Loop<ulong, ulong, IfAlways>);
        t.Add(Code.Loope_rel8_64_RCX, &Branch.Loop<ulong, ulong, IfE>);
        t.Add(Code.Loopne_rel8_64_RCX, &Branch.Loop<ulong, ulong, IfNe>);
        t.Add(Code.Jrcxz_rel8_64, &Branch.Jcxz<ulong, ulong>);
    }

    private static void StringOps(HandlerTable t)
    {
        t.Add(Code.Movsb_m8_m8, &Strings<byte>.Movs);
        t.Add(Code.Cmpsb_m8_m8, &Strings<byte>.Cmps);
        t.Add(Code.Stosb_m8_AL, &Strings<byte>.Stos);
        t.Add(Code.Lodsb_AL_m8, &Strings<byte>.Lods);
        t.Add(Code.Scasb_AL_m8, &Strings<byte>.Scas);
        t.Add(Code.Movsw_m16_m16, &Strings<ushort>.Movs);
        t.Add(Code.Cmpsw_m16_m16, &Strings<ushort>.Cmps);
        t.Add(Code.Stosw_m16_AX, &Strings<ushort>.Stos);
        t.Add(Code.Lodsw_AX_m16, &Strings<ushort>.Lods);
        t.Add(Code.Scasw_AX_m16, &Strings<ushort>.Scas);
        t.Add(Code.Movsd_m32_m32, &Strings<uint>.Movs);
        t.Add(Code.Cmpsd_m32_m32, &Strings<uint>.Cmps);
        t.Add(Code.Stosd_m32_EAX, &Strings<uint>.Stos);
        t.Add(Code.Lodsd_EAX_m32, &Strings<uint>.Lods);
        t.Add(Code.Scasd_EAX_m32, &Strings<uint>.Scas);
        t.Add(Code.Movsq_m64_m64, &Strings<ulong>.Movs);
        t.Add(Code.Cmpsq_m64_m64, &Strings<ulong>.Cmps);
        t.Add(Code.Stosq_m64_RAX, &Strings<ulong>.Stos);
        t.Add(Code.Lodsq_RAX_m64, &Strings<ulong>.Lods);
        t.Add(Code.Scasq_RAX_m64, &Strings<ulong>.Scas);
    }
}
