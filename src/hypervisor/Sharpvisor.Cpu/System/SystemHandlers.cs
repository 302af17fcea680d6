// Registers the system instructions: segmentation, privilege, control registers, MSRs, I/O and their relatives.
using Iced.Intel;
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.System;

internal static unsafe class SystemHandlers
{
    internal static void Register(HandlerTable t)
    {
        RegisterSegments(t);
        RegisterTransfers(t);
        RegisterControl(t);
        RegisterPorts(t);
    }

    private static void RegisterSegments(HandlerTable t)
    {
        t.AddBlockEnd(Code.Mov_Sreg_rm16, &SegmentHandlers.MovToSegment);
        t.AddBlockEnd(Code.Mov_Sreg_r32m16, &SegmentHandlers.MovToSegment);
        t.AddBlockEnd(Code.Mov_Sreg_r64m16, &SegmentHandlers.MovToSegment);
        t.Add(Code.Mov_rm16_Sreg, &SegmentHandlers.MovFromSegment<ushort>);
        t.Add(Code.Mov_r32m16_Sreg, &SegmentHandlers.MovFromSegment<uint>);
        t.Add(Code.Mov_r64m16_Sreg, &SegmentHandlers.MovFromSegment<ulong>);
        foreach (Code code in (ReadOnlySpan<Code>)[Code.Popw_ES, Code.Popw_SS, Code.Popw_DS, Code.Popw_FS, Code.Popw_GS])
        {
            t.AddBlockEnd(code, &SegmentHandlers.Pop16);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Popd_ES, Code.Popd_SS, Code.Popd_DS, Code.Popd_FS, Code.Popd_GS])
        {
            t.AddBlockEnd(code, &SegmentHandlers.Pop32);
        }

        t.AddBlockEnd(Code.Popq_FS, &SegmentHandlers.Pop64);
        t.AddBlockEnd(Code.Popq_GS, &SegmentHandlers.Pop64);
        foreach (Code code in (ReadOnlySpan<Code>)[Code.Pushw_ES, Code.Pushw_CS, Code.Pushw_SS, Code.Pushw_DS, Code.Pushw_FS, Code.Pushw_GS])
        {
            t.Add(code, &SegmentHandlers.Push16);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Pushd_ES, Code.Pushd_CS, Code.Pushd_SS, Code.Pushd_DS, Code.Pushd_FS, Code.Pushd_GS])
        {
            t.Add(code, &SegmentHandlers.Push32);
        }

        t.Add(Code.Pushq_FS, &SegmentHandlers.Push64);
        t.Add(Code.Pushq_GS, &SegmentHandlers.Push64);
        RegisterFarPointers(t);
        RegisterTables(t);
        RegisterInspection(t);
    }

    private static void RegisterFarPointers(HandlerTable t)
    {
        t.AddBlockEnd(Code.Les_r16_m1616, &SegmentHandlers.LoadFar16);
        t.AddBlockEnd(Code.Lds_r16_m1616, &SegmentHandlers.LoadFar16);
        t.AddBlockEnd(Code.Lss_r16_m1616, &SegmentHandlers.LoadFar16);
        t.AddBlockEnd(Code.Lfs_r16_m1616, &SegmentHandlers.LoadFar16);
        t.AddBlockEnd(Code.Lgs_r16_m1616, &SegmentHandlers.LoadFar16);
        t.AddBlockEnd(Code.Les_r32_m1632, &SegmentHandlers.LoadFar32);
        t.AddBlockEnd(Code.Lds_r32_m1632, &SegmentHandlers.LoadFar32);
        t.AddBlockEnd(Code.Lss_r32_m1632, &SegmentHandlers.LoadFar32);
        t.AddBlockEnd(Code.Lfs_r32_m1632, &SegmentHandlers.LoadFar32);
        t.AddBlockEnd(Code.Lgs_r32_m1632, &SegmentHandlers.LoadFar32);
        t.AddBlockEnd(Code.Lss_r64_m1664, &SegmentHandlers.LoadFar64);
        t.AddBlockEnd(Code.Lfs_r64_m1664, &SegmentHandlers.LoadFar64);
        t.AddBlockEnd(Code.Lgs_r64_m1664, &SegmentHandlers.LoadFar64);
    }

    private static void RegisterTables(HandlerTable t)
    {
        foreach (Code code in (ReadOnlySpan<Code>)[Code.Lgdt_m1632_16, Code.Lgdt_m1632, Code.Lgdt_m1664])
        {
            t.AddBlockEnd(code, &TableHandlers.Lgdt);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Lidt_m1632_16, Code.Lidt_m1632, Code.Lidt_m1664])
        {
            t.AddBlockEnd(code, &TableHandlers.Lidt);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Sgdt_m1632_16, Code.Sgdt_m1632, Code.Sgdt_m1664])
        {
            t.Add(code, &TableHandlers.Sgdt);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Sidt_m1632_16, Code.Sidt_m1632, Code.Sidt_m1664])
        {
            t.Add(code, &TableHandlers.Sidt);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Lldt_rm16, Code.Lldt_r32m16, Code.Lldt_r64m16])
        {
            t.AddBlockEnd(code, &TableHandlers.Lldt);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Ltr_rm16, Code.Ltr_r32m16, Code.Ltr_r64m16])
        {
            t.AddBlockEnd(code, &TableHandlers.Ltr);
        }

        t.Add(Code.Sldt_rm16, &TableHandlers.Sldt<ushort>);
        t.Add(Code.Sldt_r32m16, &TableHandlers.Sldt<uint>);
        t.Add(Code.Sldt_r64m16, &TableHandlers.Sldt<ulong>);
        t.Add(Code.Str_rm16, &TableHandlers.Str<ushort>);
        t.Add(Code.Str_r32m16, &TableHandlers.Str<uint>);
        t.Add(Code.Str_r64m16, &TableHandlers.Str<ulong>);
        t.Add(Code.Smsw_rm16, &TableHandlers.Smsw<ushort>);
        t.Add(Code.Smsw_r32m16, &TableHandlers.Smsw<uint>);
        t.Add(Code.Smsw_r64m16, &TableHandlers.Smsw<ulong>);
        foreach (Code code in (ReadOnlySpan<Code>)[Code.Lmsw_rm16, Code.Lmsw_r32m16, Code.Lmsw_r64m16])
        {
            t.AddBlockEnd(code, &ControlHandlers.Lmsw);
        }
    }

    private static void RegisterInspection(HandlerTable t)
    {
        t.Add(Code.Lar_r16_rm16, &InspectionHandlers.Lar<ushort>);
        t.Add(Code.Lar_r32_r32m16, &InspectionHandlers.Lar<uint>);
        t.Add(Code.Lar_r64_r64m16, &InspectionHandlers.Lar<ulong>);
        t.Add(Code.Lsl_r16_rm16, &InspectionHandlers.Lsl<ushort>);
        t.Add(Code.Lsl_r32_r32m16, &InspectionHandlers.Lsl<uint>);
        t.Add(Code.Lsl_r64_r64m16, &InspectionHandlers.Lsl<ulong>);
        foreach (Code code in (ReadOnlySpan<Code>)[Code.Verr_rm16, Code.Verr_r32m16, Code.Verr_r64m16])
        {
            t.Add(code, &InspectionHandlers.Verr);
        }

        foreach (Code code in (ReadOnlySpan<Code>)[Code.Verw_rm16, Code.Verw_r32m16, Code.Verw_r64m16])
        {
            t.Add(code, &InspectionHandlers.Verw);
        }

        t.Add(Code.Arpl_rm16_r16, &InspectionHandlers.Arpl);
        t.Add(Code.Arpl_r32m16_r32, &InspectionHandlers.Arpl);
        t.Add(Code.Swapgs, &BaseHandlers.Swapgs);
        t.Add(Code.Rdfsbase_r32, &BaseHandlers.RdFs32);
        t.Add(Code.Rdfsbase_r64, &BaseHandlers.RdFs64);
        t.Add(Code.Rdgsbase_r32, &BaseHandlers.RdGs32);
        t.Add(Code.Rdgsbase_r64, &BaseHandlers.RdGs64);
        t.Add(Code.Wrfsbase_r32, &BaseHandlers.WrFs32);
        t.Add(Code.Wrfsbase_r64, &BaseHandlers.WrFs64);
        t.Add(Code.Wrgsbase_r32, &BaseHandlers.WrGs32);
        t.Add(Code.Wrgsbase_r64, &BaseHandlers.WrGs64);
    }

    private static void RegisterTransfers(HandlerTable t)
    {
        t.AddBlockEnd(Code.Jmp_ptr1616, &TransferHandlers.JmpFar16);
        t.AddBlockEnd(Code.Jmp_ptr1632, &TransferHandlers.JmpFar32);
        t.AddBlockEnd(Code.Jmp_m1616, &TransferHandlers.JmpFar16);
        t.AddBlockEnd(Code.Jmp_m1632, &TransferHandlers.JmpFar32);
        t.AddBlockEnd(Code.Jmp_m1664, &TransferHandlers.JmpFar64);
        t.AddBlockEnd(Code.Call_ptr1616, &TransferHandlers.CallFar16);
        t.AddBlockEnd(Code.Call_ptr1632, &TransferHandlers.CallFar32);
        t.AddBlockEnd(Code.Call_m1616, &TransferHandlers.CallFar16);
        t.AddBlockEnd(Code.Call_m1632, &TransferHandlers.CallFar32);
        t.AddBlockEnd(Code.Call_m1664, &TransferHandlers.CallFar64);
        t.AddBlockEnd(Code.Retfw, &TransferHandlers.Retf16);
        t.AddBlockEnd(Code.Retfd, &TransferHandlers.Retf32);
        t.AddBlockEnd(Code.Retfq, &TransferHandlers.Retf64);
        t.AddBlockEnd(Code.Retfw_imm16, &TransferHandlers.Retf16);
        t.AddBlockEnd(Code.Retfd_imm16, &TransferHandlers.Retf32);
        t.AddBlockEnd(Code.Retfq_imm16, &TransferHandlers.Retf64);
        t.AddBlockEnd(Code.Iretw, &TransferHandlers.Iret16);
        t.AddBlockEnd(Code.Iretd, &TransferHandlers.Iret32);
        t.AddBlockEnd(Code.Iretq, &TransferHandlers.Iret64);
        t.AddBlockEnd(Code.Int_imm8, &TransferHandlers.Int);
        t.AddBlockEnd(Code.Int3, &TransferHandlers.Int3);
        t.AddBlockEnd(Code.Into, &TransferHandlers.Into);
        t.AddBlockEnd(Code.Int1, &TransferHandlers.Int1);
        t.AddBlockEnd(Code.Syscall, &SyscallHandlers.Syscall);
        t.AddBlockEnd(Code.Sysretd, &SyscallHandlers.Sysret32);
        t.AddBlockEnd(Code.Sysretq, &SyscallHandlers.Sysret64);
        t.AddBlockEnd(Code.Sysenter, &SyscallHandlers.Sysenter);
        t.AddBlockEnd(Code.Sysexitd, &SyscallHandlers.Sysexit32);
        t.AddBlockEnd(Code.Sysexitq, &SyscallHandlers.Sysexit64);
        t.AddBlockEnd(Code.Vmcall, &MiscHandlers.Hypercall);
        t.AddBlockEnd(Code.Vmmcall, &MiscHandlers.Hypercall);
    }

    private static void RegisterControl(HandlerTable t)
    {
        t.AddBlockEnd(Code.Mov_cr_r32, &ControlHandlers.MovToCr);
        t.AddBlockEnd(Code.Mov_cr_r64, &ControlHandlers.MovToCr);
        t.Add(Code.Mov_r32_cr, &ControlHandlers.MovFromCr);
        t.Add(Code.Mov_r64_cr, &ControlHandlers.MovFromCr);
        t.AddBlockEnd(Code.Mov_dr_r32, &ControlHandlers.MovToDr);
        t.AddBlockEnd(Code.Mov_dr_r64, &ControlHandlers.MovToDr);
        t.Add(Code.Mov_r32_dr, &ControlHandlers.MovFromDr);
        t.Add(Code.Mov_r64_dr, &ControlHandlers.MovFromDr);
        t.AddBlockEnd(Code.Clts, &ControlHandlers.Clts);
        t.AddBlockEnd(Code.Invlpg_m, &MiscHandlers.Invlpg);
        t.AddBlockEnd(Code.Invpcid_r32_m128, &MiscHandlers.Invpcid);
        t.AddBlockEnd(Code.Invpcid_r64_m128, &MiscHandlers.Invpcid);
        t.Add(Code.Wbinvd, &MiscHandlers.PrivilegedNop);
        t.Add(Code.Wbnoinvd, &MiscHandlers.PrivilegedNop);
        t.Add(Code.Invd, &MiscHandlers.PrivilegedNop);
        t.AddBlockEnd(Code.Hlt, &MiscHandlers.Hlt);
        t.Add(Code.Cli, &MiscHandlers.Cli);
        t.Add(Code.Sti, &MiscHandlers.Sti);
        t.Add(Code.Clac, &MiscHandlers.Clac);
        t.Add(Code.Stac, &MiscHandlers.Stac);
        t.Add(Code.Xgetbv, &MiscHandlers.Xgetbv);
        t.AddBlockEnd(Code.Xsetbv, &MiscHandlers.Xsetbv);
        t.Add(Code.Rdtsc, &MiscHandlers.Rdtsc);
        t.Add(Code.Rdtscp, &MiscHandlers.Rdtscp);
        t.Add(Code.Rdpid_r32, &MiscHandlers.Rdpid);
        t.Add(Code.Rdpid_r64, &MiscHandlers.Rdpid);
        t.Add(Code.Rdpmc, &MiscHandlers.Rdpmc);
        t.Add(Code.Cpuid, &MiscHandlers.Cpuid);
        t.Add(Code.Rdmsr, &MiscHandlers.Rdmsr);
        t.AddBlockEnd(Code.Wrmsr, &MiscHandlers.Wrmsr);
    }

    private static void RegisterPorts(HandlerTable t)
    {
        t.AddBlockEnd(Code.In_AL_imm8, &PortHandlers.InImmediate8);
        t.AddBlockEnd(Code.In_AX_imm8, &PortHandlers.InImmediate16);
        t.AddBlockEnd(Code.In_EAX_imm8, &PortHandlers.InImmediate32);
        t.AddBlockEnd(Code.In_AL_DX, &PortHandlers.InDx8);
        t.AddBlockEnd(Code.In_AX_DX, &PortHandlers.InDx16);
        t.AddBlockEnd(Code.In_EAX_DX, &PortHandlers.InDx32);
        t.AddBlockEnd(Code.Out_imm8_AL, &PortHandlers.OutImmediate8);
        t.AddBlockEnd(Code.Out_imm8_AX, &PortHandlers.OutImmediate16);
        t.AddBlockEnd(Code.Out_imm8_EAX, &PortHandlers.OutImmediate32);
        t.AddBlockEnd(Code.Out_DX_AL, &PortHandlers.OutDx8);
        t.AddBlockEnd(Code.Out_DX_AX, &PortHandlers.OutDx16);
        t.AddBlockEnd(Code.Out_DX_EAX, &PortHandlers.OutDx32);
        t.AddBlockEnd(Code.Insb_m8_DX, &StringPortHandlers.Ins8);
        t.AddBlockEnd(Code.Insw_m16_DX, &StringPortHandlers.Ins16);
        t.AddBlockEnd(Code.Insd_m32_DX, &StringPortHandlers.Ins32);
        t.AddBlockEnd(Code.Outsb_DX_m8, &StringPortHandlers.Outs8);
        t.AddBlockEnd(Code.Outsw_DX_m16, &StringPortHandlers.Outs16);
        t.AddBlockEnd(Code.Outsd_DX_m32, &StringPortHandlers.Outs32);
    }
}
