// Runs sequences on an execution engine: one VP in 64-bit user mode whose page tables map the arena at the host's
// addresses. IRETQ enters a sequence, INT3 ends it; every exception goes through an interrupt gate with its own stack to
// a port write that makes the engine return. So nothing but registers and memory is set behind the engine's back.
using System.Runtime.InteropServices;
using System.Buffers;
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed unsafe class GuestRunner : ISequenceRunner
{
    private const ulong MemoryBytes = 8 << 20;
    private const ulong Pml4 = 0x1000;
    private const ulong Pdpt = 0x2000;
    private const ulong LowDirectory = 0x3000;
    private const ulong HighDirectory = 0x4000;
    private const ulong CodeTable = 0x5000;
    private const ulong BufferTable = 0x6000;
    private const ulong Gdt = 0x8000;
    private const ulong Idt = 0x9000;
    private const ulong Tss = 0xA000;
    private const ulong Handlers = 0xB000;
    private const ulong HandlerStack = 0xF000;
    private const ulong CodeGpa = 0x40_0000;
    private const int HandlerSpacing = 16;
    private const ulong EntryStub = Handlers + (33 * HandlerSpacing);
    private const ulong EntryFrame = HandlerStack - 0x800;

    // Backwards and apart, so that an access across the border that goes on physically shows.
    private static readonly ulong[] s_bufferGpas = [0x20_3000, 0x20_1000];

    private static readonly int[] s_vectorsWithErrorCode = [8, 10, 11, 12, 13, 14, 17, 21];

    private readonly Arena _arena;
    private readonly GuestMemory _memory = new(MemoryBytes);
    private readonly MemoryHandle[] _pins = new MemoryHandle[Arena.BufferPages + 1];
    private readonly IVpEngine _engine;
    private readonly MachineState* _output;
    private readonly byte* _frames;

    public GuestRunner(string name, Arena arena, IVpEngineFactory factory)
    {
        Name = name;
        _arena = arena;
        var intercepts = new NoDevices();
        _engine = factory.Create(0, _memory, intercepts);
        intercepts.Engine = _engine;
        _output = (MachineState*)NativeMemory.AlignedAlloc(MachineState.Bytes, 64);
        for (int i = 0; i < Arena.BufferPages; i++)
        {
            _pins[i] = Pin(s_bufferGpas[i]);
        }

        _pins[Arena.BufferPages] = Pin(HandlerStack - Arena.PageBytes);
        _frames = (byte*)_pins[Arena.BufferPages].Pointer;
        BuildTables();
        Start();
    }

    public string Name { get; }

    public MachineState* Output => _output;

    public CpuidResult Cpuid(uint leaf, uint subleaf) => _engine.Cpuid(leaf, subleaf);

    public byte* BufferPage(int page) => (byte*)_pins[page].Pointer;

    public void LoadCode(ReadOnlySpan<byte> code, ReadOnlySpan<int> terminators) => Write(CodeGpa, code);

    public void Enter()
    {
    }

    public void Leave()
    {
    }

    public void Run(MachineState* initial, ulong end, byte* memory)
    {
        for (int i = 0; i < Arena.BufferPages; i++)
        {
            Buffer.MemoryCopy(memory + (i * Arena.PageBytes), BufferPage(i), Arena.PageBytes, Arena.PageBytes);
        }

        VpState* state = _engine.State;
        Load(state, initial);
        VpExit exit = _engine.Run();
        Save(state, exit, end);
    }

    public void Dispose()
    {
        _engine.Dispose();
        foreach (MemoryHandle pin in _pins)
        {
            pin.Dispose();
        }

        _memory.Dispose();
        NativeMemory.AlignedFree(_output);
    }

    private void Load(VpState* state, MachineState* initial)
    {
        for (int i = 0; i < 16; i++)
        {
            state->Gpr[i] = initial->Gpr[i];
        }

        // SDM Vol. 2A, IRET: RIP, CS, RFLAGS, RSP, SS upwards.
        ulong* frame = (ulong*)(_frames + (EntryFrame & 0xFFF));
        frame[0] = initial->Rip;
        frame[1] = 0x33;
        frame[2] = initial->RFlags;
        frame[3] = initial->Gpr[4];
        frame[4] = 0x2B;
        state->Gpr[4] = EntryFrame;
        state->Rip = EntryStub;
        state->RFlags = 2;
        byte* fx = initial->Fx;
        state->Fcw = *(ushort*)(fx + MachineState.FxFcw);
        state->Fsw = *(ushort*)(fx + MachineState.FxFsw);
        state->Ftw = fx[MachineState.FxFtw];
        state->Mxcsr = *(uint*)(fx + MachineState.FxMxcsr);
        int top = state->Fsw >> 11 & 7;
        for (int i = 0; i < 8; i++)
        {
            byte* physical = state->X87 + (((top + i) & 7) * 16);
            *(ulong*)physical = *(ulong*)(fx + MachineState.FxSt + (i * 16));
            *(ulong*)(physical + 8) = *(ulong*)(fx + MachineState.FxSt + (i * 16) + 8);
        }

        for (int i = 0; i < 16; i++)
        {
            Buffer.MemoryCopy(fx + MachineState.FxXmm + (i * 16), state->Vector + (i * 32), 16, 16);
        }
    }

    private void Save(VpState* state, VpExit exit, ulong end)
    {
        for (int i = 0; i < 16; i++)
        {
            _output->Gpr[i] = state->Gpr[i];
        }

        byte* fx = _output->Fx;
        *(ushort*)(fx + MachineState.FxFcw) = state->Fcw;
        *(ushort*)(fx + MachineState.FxFsw) = state->Fsw;
        fx[MachineState.FxFtw] = (byte)state->Ftw;
        *(uint*)(fx + MachineState.FxMxcsr) = state->Mxcsr;
        int top = state->Fsw >> 11 & 7;
        for (int i = 0; i < 8; i++)
        {
            byte* physical = state->X87 + (((top + i) & 7) * 16);
            *(ulong*)(fx + MachineState.FxSt + (i * 16)) = *(ulong*)physical;
            *(ulong*)(fx + MachineState.FxSt + (i * 16) + 8) = *(ulong*)(physical + 8);
        }

        for (int i = 0; i < 16; i++)
        {
            Buffer.MemoryCopy(state->Vector + (i * 32), fx + MachineState.FxXmm + (i * 16), 16, 16);
        }

        SaveException(state, exit, end);
    }

    private void SaveException(VpState* state, VpExit exit, ulong end)
    {
        ulong vector = (state->Rip - Handlers) / HandlerSpacing;
        _output->Cr2 = state->Cr2;
        _output->ErrorCode = 0;
        if (exit != VpExit.Event || vector > 31)
        {
            _output->Vector = 1000 + (ulong)exit;
            _output->Rip = state->Rip;
            _output->RFlags = state->RFlags;
            return;
        }

        // SDM Vol. 3A, 6.14.2: SS, RSP, RFLAGS, CS, RIP, error code, downwards from the aligned IST stack.
        ulong* top = (ulong*)(_frames + Arena.PageBytes);
        _output->Gpr[4] = top[-2];
        _output->RFlags = top[-3];
        _output->Rip = top[-5];
        _output->Vector = vector;
        if (Array.IndexOf(s_vectorsWithErrorCode, (int)vector) >= 0)
        {
            _output->ErrorCode = top[-6];
        }

        if (vector == 3 && _output->Rip == end + 1)
        {
            _output->Vector = MachineState.Completed;
        }
    }

    private void BuildTables()
    {
        const ulong userTable = 7;
        const ulong large = 0x83;
        const ulong noExecute = 1UL << 63;
        Write64(Pml4, Pdpt | userTable);
        Write64(Pdpt, LowDirectory | userTable);
        Write64(Pdpt + 8, HighDirectory | userTable);
        Write64(LowDirectory, large);
        ulong directory = _arena.Base >> 30 == 0 ? LowDirectory : HighDirectory;
        Write64(directory + ((_arena.Code >> 21 & 511) * 8), CodeTable | userTable);
        Write64(directory + ((_arena.Buffer >> 21 & 511) * 8), BufferTable | userTable);
        for (ulong i = 0; i < Arena.CodeBytes / Arena.PageBytes; i++)
        {
            Write64(CodeTable + ((_arena.Code >> 12 & 511) + i) * 8, (CodeGpa + (i * Arena.PageBytes)) | userTable);
        }

        for (ulong i = 0; i < Arena.BufferPages; i++)
        {
            Write64(BufferTable + ((_arena.Buffer >> 12 & 511) + i) * 8, s_bufferGpas[i] | 7 | noExecute);
        }

        Write64(Gdt + 0x08, 0x00AF_9B00_0000_FFFF);
        Write64(Gdt + 0x10, 0x00CF_9300_0000_FFFF);
        Write64(Gdt + 0x28, 0x00CF_F300_0000_FFFF);
        Write64(Gdt + 0x30, 0x00AF_FB00_0000_FFFF);
        Write64(Gdt + 0x40, 0x0000_8B00_0000_0067 | (Tss << 16));
        Write64(Tss + 0x24, HandlerStack);
        Write64(Tss + 4, HandlerStack);
        for (ulong vector = 0; vector < 32; vector++)
        {
            ulong handler = Handlers + (vector * HandlerSpacing);
            // 64-bit interrupt gate, IST 1; DPL 3 for INT3.
            ulong type = vector == 3 ? 0xEEUL : 0x8EUL;
            Write64(Idt + (vector * 16), (handler & 0xFFFF) | (0x08UL << 16) | (1UL << 32) | (type << 40) | (handler >> 16 << 48));
            // out 0x80, al; jmp $
            Write(handler, [0xE6, 0x80, 0xEB, 0xFE]);
        }

        // iretq
        Write(EntryStub, [0x48, 0xCF]);
    }

    private void Start()
    {
        _engine.Reset(powerOn: true);
        VpState* state = _engine.State;
        state->Cr0 = 0x8005_0033;
        state->Cr3 = Pml4;
        state->Cr4 = 0x620;
        state->Efer = 0xD01;
        state->Gdtr = new DescriptorTableRegister { Base = Gdt, Limit = 0x4F };
        state->Idtr = new DescriptorTableRegister { Base = Idt, Limit = 0x1FF };
        state->Rip = EntryStub;
        state->RFlags = 2;
        SetSegment(state, Segment.Cs, 0x08, 0, uint.MaxValue, 0xA9B);
        SetSegment(state, Segment.Ss, 0x10, 0, uint.MaxValue, 0xC93);
        SetSegment(state, Segment.Ds, 0, 0, 0, 0);
        SetSegment(state, Segment.Es, 0, 0, 0, 0);
        SetSegment(state, Segment.Fs, 0, 0, 0, 0);
        SetSegment(state, Segment.Gs, 0, 0, 0, 0);
        SetSegment(state, Segment.Tr, 0x40, Tss, 0x67, 0x8B);
        _engine.RequestTlbFlush();
    }

    private static void SetSegment(VpState* state, Segment segment, ushort selector, ulong @base, uint limit, ushort attributes)
    {
        SegmentRegister* register = VpState.Seg(state, segment);
        register->Selector = selector;
        register->Base = @base;
        register->Limit = limit;
        register->Attributes = attributes;
    }

    private MemoryHandle Pin(ulong gpa) =>
        _memory.TryGetMemory(gpa, Arena.PageBytes, out Memory<byte> memory)
            ? memory.Pin()
            : throw new InvalidOperationException("no guest memory");

    private void Write64(ulong gpa, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Write(gpa, bytes);
    }

    private void Write(ulong gpa, ReadOnlySpan<byte> bytes)
    {
        if (!_memory.TryWrite(gpa, bytes))
        {
            throw new InvalidOperationException("no guest memory");
        }
    }
}
