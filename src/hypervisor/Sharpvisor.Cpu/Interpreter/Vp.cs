// One virtual processor on the interpreter: the Run loop and what slow paths of all areas need.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;
using Sharpvisor.Cpu.Translator;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>The engine of one VP. Partials: Code (blocks), Events (interrupts, requests of other threads), Step, Translation.</summary>
internal sealed unsafe partial class Vp : IVpEngine, ICodeWatcher
{
    private readonly LazyFlags* _lazy;
    private readonly EngineBlock* _engine;
    private GCHandle _self;

    // Legacy region and header (Intel SDM Vol. 1, 13.4).
    private const nuint XsaveAreaBytes = 576;

    /// <param name="translator">Runs hot 64-bit code as host code; null: everything is interpreted. Owned by the VP.</param>
    public Vp(int vpIndex, GuestMemory memory, IVpIntercepts intercepts, BlockTranslator? translator = null)
    {
        _translator = translator;
        Memory = memory;
        Intercepts = intercepts;
        State = (VpState*)NativeMemory.AlignedAlloc((nuint)((sizeof(VpState) + 63) & ~63), 64);
        NativeMemory.Clear(State, (nuint)sizeof(VpState));
        _engine = (EngineBlock*)NativeMemory.AlignedAlloc((nuint)((sizeof(EngineBlock) + 63) & ~63), 64);
        NativeMemory.Clear(_engine, (nuint)sizeof(EngineBlock));
        _lazy = &_engine->Lazy;
        State->EnginePrivate = _engine;
        State->VpIndex = (uint)vpIndex;
        _self = GCHandle.Alloc(this);
        _lazy->Owner = GCHandle.ToIntPtr(_self);
        _lazy->JumpCache = (JumpEntry*)NativeMemory.AlignedAlloc((nuint)(JumpEntries * sizeof(JumpEntry)), 64);
        NativeMemory.Clear(_lazy->JumpCache, (nuint)(JumpEntries * sizeof(JumpEntry)));
        _lazy->JumpEpoch = 1;
        if (translator != null)
        {
            _engine->NativeJumps = (NativeJump*)NativeMemory.AlignedAlloc((nuint)(NativeJump.Entries * sizeof(NativeJump)), 64);
            ForgetNativeJumps();
            _interpreted = (long*)NativeMemory.AllocZeroed(HandlerTable.Capacity, sizeof(long));
            _engine->XsaveArea = (byte*)NativeMemory.AlignedAlloc(XsaveAreaBytes, 64);
            NativeMemory.Clear(_engine->XsaveArea, XsaveAreaBytes);
        }

        Mmu = new SoftMmu(this);
        Reset(powerOn: true);
        memory.Watch(this);
        memory.LayoutChanged += OnLayoutChanged;
    }

    public VpState* State { get; }

    public GuestMemory Memory { get; }

    public IVpIntercepts Intercepts { get; }

    public SoftMmu Mmu { get; }

    /// <summary>HLT was executed (its handler also ends the block).</summary>
    public bool Halted { get; set; }

    /// <summary>A triple fault: Run returns <see cref="VpExit.Shutdown"/>.</summary>
    public bool TripleFault { get; set; }

    /// <summary>The block that ran last.</summary>
    public Block* CurrentBlock => _lazy->CurrentBlock;

    /// <summary>Where RDRAND and RDSEED take 64 bits from.</summary>
    public Func<ulong> Random { get; set; } = static () => BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));

    /// <summary>Called before a fault in mid-block is delivered, which stores the flags. Null, as always but in lockstep: nobody cares.</summary>
    public Action? Faulting { get; set; }

    public long Instructions => (long)Volatile.Read(ref _lazy->Instructions);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vp Of(VpState* s) => Unsafe.As<Vp>(GCHandle.FromIntPtr(Flags.Lazy(s)->Owner).Target!);

    /// <summary>RIP of an op of the running block.</summary>
    public void SyncRip(Op* op) => State->Rip = State->Gpr[17] + op->PageOffset;

    /// <summary>Continue at this RIP; the handler then returns null with no fault pending.</summary>
    public void EndBlockAt(ulong rip) => State->Rip = rip;

    /// <summary>CS, CR0, EFER or CPL changed. The mode itself is recomputed at every block entry through <see cref="Run"/>.</summary>
    public void ModeChanged() => DropJumpCache();

    /// <summary>Linear-to-block mappings are stale.</summary>
    public void DropJumpCache() => _lazy->JumpEpoch++;

    /// <inheritdoc/>
    public VpExit Run()
    {
        VpState* s = State;
        EnterRun();
        try
        {
            Flags.Write(s, s->RFlags);
            s->Gpr[16] = 0;
            return Loop(s);
        }
        finally
        {
            s->RFlags = Flags.Read(s);
            LeaveRun();
        }
    }

    public void Dispose()
    {
        Memory.Unwatch(this);
        Memory.LayoutChanged -= OnLayoutChanged;
        _blocks.Dispose();
        _translator?.Dispose();
        Mmu.Dispose();
        NativeMemory.AlignedFree(_lazy->JumpCache);
        NativeMemory.AlignedFree(_engine->NativeJumps);
        NativeMemory.AlignedFree(_engine->XsaveArea);
        NativeMemory.Free(_interpreted);
        NativeMemory.AlignedFree(_engine);
        NativeMemory.AlignedFree(State);
        _self.Free();
    }

    private VpExit Loop(VpState* s)
    {
        while (true)
        {
            if ((s->PendingEvents != 0 || InterruptDeferred) && ServiceEvents(s, out VpExit exit))
            {
                return exit;
            }

            if (TripleFault)
            {
                return VpExit.Shutdown;
            }

            if (Halted)
            {
                return VpExit.Halt;
            }

            if (_dropBlocks)
            {
                _dropBlocks = false;
                DropBlocks();
            }

            bool single = ((s->RFlags & (Flags.TF | Flags.RF)) | s->InterruptShadow | _engine->Stepping) != 0;
            if (single && !PrepareStep(s, out single))
            {
                // An execution breakpoint: RIP is exact already.
                Exceptions.Deliver(this);
                continue;
            }

            Op* op = EnterBlock(s, single);
            if (op == null)
            {
                // The fetch faulted: RIP is exact already.
                Exceptions.Deliver(this);
                continue;
            }

            if (single)
            {
                StepOne(s, op);
                continue;
            }

            op = _translator == null ? Dispatch(s, op) : DispatchTranslated(s, op, _translator);
            if (op == null)
            {
                continue;
            }

            _lazy->Instructions += op->Index16;
            if (_engine->Fault.Pending != 0)
            {
                DeliverFault(s, op, RipOf(s, op));
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DeliverFault(VpState* s, Op* op, ulong rip)
    {
        if ((op->Flags & OpFlags.Memory) != 0 && op->Segment == (byte)Segment.Ss)
        {
            _ = Faults.StackAccess(s);
        }

        s->Rip = rip;
        s->InterruptShadow = 0;
        Faulting?.Invoke();
        Exceptions.Deliver(this);
    }

    /// <summary>Runs ops until one returns null, and returns that one. Unrolled: each indirect call site predicts on its own.</summary>
    private static Op* Dispatch(VpState* s, Op* op)
    {
        while (true)
        {
            Op* next = op->Handler(s, op);
            if (next == null)
            {
                return op;
            }

            op = next->Handler(s, next);
            if (op == null)
            {
                return next;
            }

            next = op->Handler(s, op);
            if (next == null)
            {
                return op;
            }

            op = next->Handler(s, next);
            if (op == null)
            {
                return next;
            }
        }
    }

    private static ulong RipOf(VpState* s, Op* op) => (s->Gpr[17] + op->PageOffset) & RipMask(Flags.Lazy(s)->Mode);

    private static ulong RipMask(ulong mode) => (mode & BlockMode.BitsMask) switch
    {
        BlockMode.Bits64 => ulong.MaxValue,
        BlockMode.Bits32 => uint.MaxValue,
        _ => ushort.MaxValue,
    };
}
