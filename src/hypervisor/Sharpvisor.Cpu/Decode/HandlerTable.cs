// Which handler executes each Iced Code. Areas register theirs; whatever is missing raises #UD.
using System.Runtime.InteropServices;
using Iced.Intel;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Interpreter.Fp;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Decode;

/// <summary>The instruction table: native arrays indexed by Code, built once per process.</summary>
internal sealed unsafe class HandlerTable
{
    private static readonly HandlerTable s_instance = Create();

    public const int Capacity = 8192;

    private readonly nint* _register;
    private readonly nint* _memory;
    private readonly nint* _flat;
    private readonly byte* _endsBlock;

    private HandlerTable()
    {
        // More than Iced 1.22 has Codes (4834); a test checks it.
        nuint count = Capacity;
        _register = (nint*)NativeMemory.AllocZeroed(count, (nuint)sizeof(nint));
        _memory = (nint*)NativeMemory.AllocZeroed(count, (nuint)sizeof(nint));
        _flat = (nint*)NativeMemory.AllocZeroed(count, (nuint)sizeof(nint));
        _endsBlock = (byte*)NativeMemory.AllocZeroed(count, 1);
    }

    public static HandlerTable Instance => s_instance;

    /// <summary>One handler for register and memory forms (it tests <see cref="OpFlags.Memory"/>).</summary>
    public void Add(Code code, delegate*<VpState*, Op*, Op*> handler) => Add(code, handler, handler);

    /// <summary>Separate handlers for the register and the memory form.</summary>
    public void Add(Code code, delegate*<VpState*, Op*, Op*> register, delegate*<VpState*, Op*, Op*> memory) =>
        Add(code, register, memory, memory);

    /// <summary>As above, with a form for <see cref="OpFlags.Flat"/> memory operands.</summary>
    public void Add(
        Code code,
        delegate*<VpState*, Op*, Op*> register,
        delegate*<VpState*, Op*, Op*> memory,
        delegate*<VpState*, Op*, Op*> flat)
    {
        _register[(int)code] = (nint)register;
        _memory[(int)code] = (nint)memory;
        _flat[(int)code] = (nint)flat;
    }

    /// <summary>
    /// An instruction that ends its block: it may change mode, privilege, paging or RIP. The handler calls
    /// <c>Vp.Of(s).EndBlockAt(rip)</c> and returns null.
    /// </summary>
    public void AddBlockEnd(Code code, delegate*<VpState*, Op*, Op*> handler)
    {
        Add(code, handler);
        _endsBlock[(int)code] = 1;
    }

    public bool EndsBlock(Code code) => _endsBlock[(int)code] != 0;

    /// <summary>Null when the instruction is not implemented.</summary>
    public delegate*<VpState*, Op*, Op*> Find(Code code, OpFlags flags) =>
        (delegate*<VpState*, Op*, Op*>)((flags & OpFlags.Memory) == 0 ? _register
            : (flags & OpFlags.Flat) == 0 ? _memory
            : _flat)[(int)code];

    private static HandlerTable Create()
    {
        var table = new HandlerTable();
        IntegerHandlers.Register(table);
        SystemHandlers.Register(table);
        FpHandlers.Register(table);
        return table;
    }
}
