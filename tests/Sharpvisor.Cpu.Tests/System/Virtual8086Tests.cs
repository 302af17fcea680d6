// Virtual-8086 mode: Intel SDM Vol. 3A, chapter 21.
using Sharpvisor.Core;
using Sharpvisor.Cpu.System;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Architecture;

public sealed unsafe class Virtual8086Tests : IDisposable
{
    private const uint Handler = 0x50000;
    private const ulong Frame = Machine.Stack - 36;
    private readonly Machine _m = new();

    public Virtual8086Tests()
    {
        _m.Protected();
        _m.Write(Machine.Tss + 4, 0x7_0000u);
        _m.Write(Machine.Tss + 8, 0x10u);
        // No I/O permission bitmap: it would start beyond the limit.
        _m.Write(Machine.Tss + 102, (ushort)0x68);
        _m.Gate32(Vector.GP, Handler);
        _m.Gate32(Vector.UD, Handler);
        Assert.True(_m.Memory.TryWrite(Handler, new byte[] { 0xF4 }));
    }

    public void Dispose() => _m.Dispose();

    [Fact]
    public void IRET_enters_it_with_paragraph_segments_and_an_exception_leaves_it_with_all_segments_saved()
    {
        // mov al, ds:[2]; ud2
        Enter(0x2_0002, 0xA0, 0x02, 0x00, 0x0F, 0x0B);
        _m.Write(0x1_2342, (byte)0x5A);
        Assert.Equal(VpExit.Halt, _m.Run(0xCF));
        Assert.Equal(0x5AUL, _m.S->Gpr[0] & 0xFF);
        Assert.Equal(0u, _m.S->Cpl);
        Assert.Equal(0UL, _m.S->RFlags & RFlag.VM);
        Assert.Equal(0, VpState.Seg(_m.S, Segment.Ds)->Selector);
        // EIP, CS, EFLAGS, ESP, SS, ES, DS, FS, GS.
        Assert.Equal(
            [3u, 0x4200u, 0x3_0002u, 0x800u, 0x3000u, 0x1111u, 0x1234u, 0x2222u, 0x3333u],
            Enumerable.Range(0, 9).Select(i => _m.Read<uint>(0x7_0000 - 36 + (ulong)(i * 4))));
    }

    [Theory]
    [InlineData(0xFA)]
    [InlineData(0x9C)]
    [InlineData(0xCD)]
    [InlineData(0xCF)]
    [InlineData(0xE4)]
    public void CLI_PUSHF_INT_IRET_and_IN_are_GP_below_IOPL_3(byte opcode)
    {
        Enter(0x2_0002, opcode, 0x20);
        Assert.Equal(VpExit.Halt, _m.Run(0xCF));
        Assert.Equal(0u, _m.Read<uint>(0x7_0000 - 40));
        Assert.Equal(0u, _m.Read<uint>(0x7_0000 - 36));
    }

    [Fact]
    public void LAR_is_undefined_there()
    {
        _m.Gate32(Vector.UD, Handler);
        Enter(0x2_3002, 0x0F, 0x02, 0xC0);
        Assert.Equal(VpExit.Halt, _m.Run(0xCF));
        Assert.Equal(0u, _m.Read<uint>(0x7_0000 - 36));
    }

    private void Enter(uint flags, params byte[] code)
    {
        Assert.True(_m.Memory.TryWrite(0x4_2000, code));
        uint[] frame = [0, 0x4200, flags, 0x800, 0x3000, 0x1111, 0x1234, 0x2222, 0x3333];
        for (int i = 0; i < frame.Length; i++)
        {
            _m.Write(Frame + (ulong)(i * 4), frame[i]);
        }

        _m.S->Gpr[4] = Frame;
    }
}
