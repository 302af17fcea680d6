// Emits host code for a decoded block. The rules that keep it right (docs/cpu.md):
// - before anything that may leave the block, the guest's arithmetic flags are in AX, registers are as before the instruction;
// - whatever is not emitted leaves to the interpreter with the op as the place to go on, and comes back at a later op.
using Sharpvisor.Core.Interop;
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Translator;

/// <summary>One VP's translator: code memory, stubs and the state of the block being emitted.</summary>
internal sealed unsafe partial class BlockTranslator : IDisposable
{
    public const int DefaultCodeBytes = 64 << 20;

    /// <summary>More than the largest block can take.</summary>
    private const int LargestBlock = 64 << 10;

    private readonly ExecutableMemory _memory;
    private readonly Emitter _e;
    private readonly int _exit;
    private readonly int _exitUnlinked;
    private readonly int _loadVector;
    private readonly int _loadX87;
    private readonly int _firstBlock;
    private readonly ColdStub[] _cold = new ColdStub[512];
    /// <summary>Heads of dead blocks without a successor yet, by guest physical address.</summary>
    private readonly Dictionary<ulong, int> _retired = [];
    private int _coldCount;
    private int _generationOffset;
    private FlagsIn _flags;
    private Op* _op;

    /// <param name="threshold">Entries of a block before it is translated; 1: at once.</param>
    public BlockTranslator(uint threshold, int codeBytes = DefaultCodeBytes)
    {
        Threshold = threshold;
        _memory = new ExecutableMemory(codeBytes);
        _e = new Emitter(_memory.Writable);
        Trampoline.EmitEntry(_e);
        _exitUnlinked = _e.Position;
        _e.RegReg(0x31, 4, Host.Value, Host.Value);
        _exit = _e.Position;
        Trampoline.EmitExit(_e);
        _loadVector = FloatingPointState.EmitLoadVector(_e, _exitUnlinked);
        _loadX87 = FloatingPointState.EmitLoadX87(_e, _exitUnlinked);
        _firstBlock = _e.Position;
    }

    private enum FlagsIn : byte
    {
        /// <summary>AX holds the guest's flags, RFLAGS anything.</summary>
        Ax,
        /// <summary>RFLAGS holds them, AX anything.</summary>
        Host,
        Both,
    }

    private enum Cold : byte
    {
        /// <summary>The interpreter runs the op.</summary>
        Exit,
        /// <summary>As Exit, and once it has, the jump is bound to where it went.</summary>
        Link,
        /// <summary>As Link, and RSP was moved down already.</summary>
        LinkCall,
        /// <summary>A taken conditional branch out of the page.</summary>
        Lookup,
        /// <summary>Entry to an op whose code expects the flags in RFLAGS as well.</summary>
        Reenter,
        /// <summary>An event is pending or the block is stale.</summary>
        Head,
        /// <summary>The guest's vector registers are not loaded yet.</summary>
        LoadVector,
        /// <summary>The guest's x87 state is not loaded yet.</summary>
        LoadX87,
    }

    /// <summary>Where to enter: <c>Op* enter(VpState*, byte* target, ulong flags)</c>.</summary>
    public delegate* unmanaged<VpState*, byte*, ulong, Op*> Enter =>
        (delegate* unmanaged<VpState*, byte*, ulong, Op*>)_memory.Executable;

    public uint Threshold { get; }

    /// <summary>Blocks translated so far.</summary>
    public long Blocks { get; private set; }

    /// <summary>Bytes of host code now.</summary>
    public long CodeBytes => _e.Position - _firstBlock;

    /// <summary>What the host code was for, in bytes emitted so far: see docs/cpu.md, "Against native".</summary>
    public long TlbBytes { get; private set; }

    public long FlagBytes { get; private set; }

    public long HeadBytes { get; private set; }

    public long LookupBytes { get; private set; }

    public long ColdBytes { get; private set; }

    public long TotalBytes { get; private set; }

    /// <summary>How often all code was dropped.</summary>
    public long Flushes { get; private set; }

    /// <summary>The next block may not fit: drop all blocks, then <see cref="Flush"/>.</summary>
    public bool Full => _e.Position + LargestBlock > _memory.Bytes;

    public void Dispose() => _memory.Dispose();

    /// <summary>Forgets all code. No block may be entered afterwards that was translated before.</summary>
    public void Flush()
    {
        _e.Position = _firstBlock;
        _retired.Clear();
        Flushes++;
    }

    /// <summary>Binds the jump that <see cref="Mmu.EngineBlock.ExitLink"/> named to a translated block.</summary>
    public void Link(ulong site, Block* target) => _e.Bind((int)site, (int)(target->NativeHead - _memory.Executable));

    /// <summary>Tells a block's host code that <see cref="Block.Generation"/> changed.</summary>
    public void UpdateGeneration(Block* block)
    {
        if (block->NativeHead != null)
        {
            *(uint*)(_memory.Writable + (block->NativeHead - _memory.Executable) + _generationOffset) = block->Generation;
        }
    }

    /// <summary>The block is dead. Jumps bound to it go to its successor as soon as there is one.</summary>
    public void Retire(Block* block)
    {
        if (block->NativeHead != null)
        {
            UpdateGeneration(block);
            _retired[block->Gpa] = (int)(block->NativeHead - _memory.Executable);
        }
    }

    /// <summary>Translates a 64-bit block that lies in one page. The caller has seen that the memory is not <see cref="Full"/>.</summary>
    public void Translate(Block* block)
    {
        _e.Position = (_e.Position + 15) & ~15;
        _coldCount = 0;
        Op* first = Block.First(block);
        int count = block->Ops + ((byte*)(first + block->Ops) < block->Raw ? 1 : 0);
        CountAhead(first, count, block->Ops);
        int head = _e.Position;
        EmitHead(block, first, head);
        HeadBytes += _e.Position - head;
        _flags = FlagsIn.Ax;
        _vectorReady = false;
        _x87Ready = false;
        _fip = null;
        bool entry = true;
        for (int i = 0; i < count; i++)
        {
            entry = EmitAt(first + i, i == block->Ops, entry);
        }

        int hot = _e.Position;
        EmitCold();
        ColdBytes += _e.Position - hot;
        TotalBytes += _e.Position - head;
        block->NativeHead = _memory.Executable + head;
        if (_retired.Remove(block->Gpa, out int retired))
        {
            // Same physical address: whoever is bound to the dead block shares this one's page as well.
            int end = _e.Position;
            _e.Position = retired;
            _e.Jump(head);
            _e.Position = end;
        }

        Blocks++;
    }

    /// <summary>Emits one op; the result: the interpreter may come back behind it.</summary>
    private bool EmitAt(Op* op, bool isContinue, bool entry)
    {
        _op = op;
        NativeForm form = NativeForm.Of(op->Code);
        if (isContinue || form.Kind is NativeKind.None or (>= NativeKind.Jcc and <= NativeKind.Ret))
        {
            EmitFip();
        }

        int start = _e.Position;
        int cold = _coldCount;
        FlagsIn flags = _flags;
        bool vector = _vectorReady;
        bool x87 = _x87Ready;
        bool mayLeave = (op->Flags & OpFlags.Memory) != 0;
        if (isContinue ? EmitContinue(op) : EmitOp(op, form, ref mayLeave))
        {
            if (entry && flags == FlagsIn.Ax && !vector && !x87)
            {
                op->Native = _memory.Executable + start;
            }
            else if (entry)
            {
                _cold[_coldCount++] = new ColdStub(Cold.Reenter, start, op, flags != FlagsIn.Ax, vector, x87);
            }

            return mayLeave;
        }

        _e.Position = start;
        _coldCount = cold;
        _flags = flags;
        SaveFlags();
        EmitFip();
        _e.MovImmediate(Host.Address, (ulong)op);
        _e.Jump(_exitUnlinked);
        _flags = FlagsIn.Ax;
        _vectorReady = false;
        _x87Ready = false;
        return true;
    }

    private void EmitHead(Block* block, Op* first, int head)
    {
        StateOffsets o = StateOffsets.Instance;
        _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.State);
        _e.RegMem(0x83, 4, 7, Host.Value, o.PendingEvents);
        _e.Byte(0);
        AddCold(Cold.Head, _e.JumpIf(5), first);
        _e.MovImmediate(Host.Value, (ulong)block->GenerationAddress);
        _e.RegMem(0x81, 4, 7, Host.Value, 0);
        _generationOffset = _e.Position - head;
        _e.Int32((int)block->Generation);
        AddCold(Cold.Head, _e.JumpIf(5), first);
        _e.RegMem(0x81, 8, 0, Host.Rsp, Host.Instructions);
        _e.Int32((int)first->Heat);
    }

    /// <summary>Leaves in each op how many instructions of the block have run when control passes the next conditional branch.</summary>
    private static void CountAhead(Op* first, int count, uint all)
    {
        uint ahead = all;
        for (int i = count - 1; i >= 0; i--)
        {
            if (i < all && NativeForm.Of(first[i].Code).Kind == NativeKind.Jcc)
            {
                ahead = first[i].Index16;
            }

            first[i].Heat = ahead;
        }
    }

    private void AddCold(Cold kind, int site, Op* op) => _cold[_coldCount++] = new ColdStub(kind, site, op);

    private void EmitCold()
    {
        for (int i = 0; i < _coldCount; i++)
        {
            ColdStub stub = _cold[i];
            int here = _e.Position;
            switch (stub.Kind)
            {
                case Cold.Reenter:
                    EmitReentry(stub);
                    stub.Op->Native = _memory.Executable + here;
                    continue;
                case Cold.Lookup:
                    _e.Bind(stub.Site, here);
                    _op = stub.Op;
                    _flags = FlagsIn.Ax;
                    EmitTargetAddress(stub.Op);
                    EmitLookup();
                    EmitJumpToFound();
                    continue;
                case Cold.LoadVector or Cold.LoadX87:
                    _e.Bind(stub.Site, here);
                    _e.MovImmediate(Host.Address, (ulong)stub.Op);
                    _e.Call(stub.Kind == Cold.LoadVector ? _loadVector : _loadX87);
                    _e.Jump(stub.Site + 4);
                    continue;
                case Cold.LinkCall:
                    _e.Bind(stub.Site, here);
                    _e.RegMem(0x8D, 8, Host.GuestRsp, Host.GuestRsp, 8);
                    break;
                default:
                    _e.Bind(stub.Site, here);
                    break;
            }

            _e.MovImmediate(Host.Address, (ulong)stub.Op | (stub.Kind == Cold.Head ? 1UL : 0));
            if (stub.Kind is Cold.Link or Cold.LinkCall)
            {
                _e.MovImmediate(Host.Value, (ulong)stub.Site);
                _e.Jump(_exit);
            }
            else
            {
                _e.Jump(_exitUnlinked);
            }
        }
    }

    private void EmitReentry(in ColdStub stub)
    {
        if (stub.Vector)
        {
            _e.MovImmediate(Host.Address, (ulong)stub.Op);
            _e.Call(_loadVector);
        }

        if (stub.X87)
        {
            _e.MovImmediate(Host.Address, (ulong)stub.Op);
            _e.Call(_loadX87);
        }

        if (stub.Flags)
        {
            RestoreFlags();
        }

        _e.Jump(stub.Site);
    }

    /// <summary>Makes AX valid.</summary>
    private void SaveFlags()
    {
        if (_flags != FlagsIn.Host)
        {
            return;
        }

        // LAHF; SETO AL
        _e.Bytes([0x9F, 0x0F, 0x90, 0xC0]);
        FlagBytes += 4;
        _flags = FlagsIn.Both;
    }

    /// <summary>Makes RFLAGS valid.</summary>
    private void NeedFlags()
    {
        if (_flags == FlagsIn.Ax)
        {
            RestoreFlags();
            _flags = FlagsIn.Both;
        }
    }

    // CMP AL, -127 overflows for 1 and not for 0; SAHF leaves OF alone.
    private void RestoreFlags()
    {
        _e.Bytes([0x3C, 0x81, 0x9E]);
        FlagBytes += 3;
    }

    private void FlagsWritten() => _flags = FlagsIn.Host;

    /// <summary>A guest register, for reading or changing: its own host register, or a copy in the one given.</summary>
    private int Get(int guest, int temporary)
    {
        int host = Host.Of(guest);
        if (host >= 0)
        {
            return host;
        }

        _e.RegMem(0x8B, 8, temporary, Host.Rsp, Host.Slot(guest));
        return temporary;
    }

    /// <summary>Where to put a new value of a guest register whose old one does not matter.</summary>
    private static int Target(int guest, int temporary)
    {
        int host = Host.Of(guest);
        return host >= 0 ? host : temporary;
    }

    /// <summary>After the register returned by <see cref="Get"/> or <see cref="Target"/> was changed.</summary>
    private void Put(int guest, int host)
    {
        if (Host.Of(guest) < 0)
        {
            _e.RegMem(0x89, 8, host, Host.Rsp, Host.Slot(guest));
        }
    }

    /// <param name="flags">For <see cref="Cold.Reenter"/>: what the code there expects.</param>
    private readonly struct ColdStub(Cold kind, int site, Op* op, bool flags = false, bool vector = false, bool x87 = false)
    {
        public Cold Kind { get; } = kind;

        public int Site { get; } = site;

        public Op* Op { get; } = op;

        public bool Flags { get; } = flags;

        public bool Vector { get; } = vector;

        public bool X87 { get; } = x87;
    }
}
