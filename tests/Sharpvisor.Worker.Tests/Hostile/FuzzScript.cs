// Writes a hostile guest's script: seeded, and plausible enough to get deep (FuzzScript.VMBus.cs, FuzzScript.Devices.cs).
using System.Runtime.InteropServices;

namespace Sharpvisor.Worker.Tests.Hostile;

internal sealed partial class FuzzScript
{
    private readonly Random _random;
    private readonly List<FuzzRecord> _records = [];
    private readonly byte[] _blob = new byte[FuzzProgram.MaxBlobBytes];
    private int _blobBytes;
    private bool _isSecond;

    private FuzzScript(int seed)
    {
        _random = new Random(seed);
    }

    /// <summary>The image of a hostile guest.</summary>
    public static byte[] BuildImage(int seed)
    {
        var script = new FuzzScript(seed);
        script.ConnectSynic();
        script.Fill(FuzzProgram.MaxRecords * 2 / 3, FuzzProgram.MaxBlobBytes * 5 / 6);
        int second = script._records.Count;
        // The other VP gets in between, but leaves the bus connected, or nobody ever has a channel open for long.
        script._isSecond = true;
        script.Fill(FuzzProgram.MaxRecords, FuzzProgram.MaxBlobBytes);
        script._random.NextBytes(script._blob.AsSpan(script._blobBytes));
        return FuzzProgram.Build(CollectionsMarshal.AsSpan(script._records), second, script._blob, (ulong)script._random.NextInt64());
    }

    private void Fill(int records, int blobBytes)
    {
        while (_records.Count < records - 4000 && _blobBytes < blobBytes - 80_000)
        {
            AddScenario();
        }
    }

    private void AddScenario()
    {
        switch (_random.Next(20))
        {
            case 0 when !_isSecond: ConnectSynic(); break;
            case 1: RandomPorts(60); break;
            case 2 or 3: IdeCommand(); break;
            case 4: PciConfiguration(); break;
            case 5: RandomMmio(40); break;
            case 6 or 7: RandomMsrs(40); break;
            case 8: RandomHypercalls(20); break;
            case 9: RandomMessages(20); break;
            case >= 10 and <= 13 when !_isSecond: StorageChannel(); break;
            case 14: GarbagePageTables(60); break;
            case 15: Timers(); break;
            case 16: Overlays(); break;
            case 17: StringPorts(20); break;
            case 18: RestartSecondProcessor(); break;
            default: Miscellaneous(40); break;
        }
    }

    private void Add(FuzzOperation operation, ulong a = 0, ulong aMask = 0, ulong b = 0, ulong bMask = 0, ulong c = 0, ulong d = 0) =>
        _records.Add(new FuzzRecord { Operation = operation, A = a, AMask = aMask, B = b, BMask = bMask, C = c, D = d });

    private bool Rarely(int times) => _random.Next(times) == 0;

    private ulong Value() => (ulong)_random.NextInt64() ^ ((ulong)_random.Next() << 33);

    /// <summary>A page of the arena behind the page tables.</summary>
    private ulong ArenaPage() =>
        FuzzProgram.ArenaGpa + ((ulong)_random.Next(FuzzProgram.PageTablePages, (int)(FuzzProgram.ArenaBytes >> 12)) << 12);

    /// <summary>Mostly of the arena; now and then RAM's end, the APICs, ROM, nothing.</summary>
    private ulong AnyPage() => _random.Next(24) switch
    {
        0 => 0xFEE0_0000,
        1 => 0xFEC0_0000,
        2 => 0xF_E000_0000 + ((ulong)_random.Next(0x20000) << 12),
        3 => (ulong)_random.Next(1 << 20) << 12,
        4 => 0x03FF_F000,
        5 => 0xA_0000 + ((ulong)_random.Next(0x60) << 12),
        _ => ArenaPage(),
    };

    /// <summary>Puts bytes where a Copy record finds them; returns their address.</summary>
    private ulong Blob(ReadOnlySpan<byte> bytes)
    {
        if (_blobBytes + bytes.Length > _blob.Length)
        {
            return FuzzProgram.BlobGpa;
        }

        ulong at = FuzzProgram.BlobGpa + (ulong)_blobBytes;
        bytes.CopyTo(_blob.AsSpan(_blobBytes));
        _blobBytes += (bytes.Length + 7) & ~7;
        return at;
    }

    private void Copy(ulong gpa, ReadOnlySpan<byte> bytes) =>
        Add(FuzzOperation.Copy, gpa, c: Blob(bytes), d: (ulong)bytes.Length);

    private void Msr(uint msr, ulong value, ulong mask = 0) => Add(FuzzOperation.WriteMsr, msr, 0, value, mask);

    private void RandomMsrs(int count)
    {
        // Not GUEST_IDLE (0x400000F0), and reset (0x40000003) only now and then.
        uint[] msrs =
        [
            0x10, 0x1B, 0x3A, 0x3B, 0x6E0, 0xFE, 0x174, 0x175, 0x176, 0x179, 0x1A0, 0x277, 0x2FF, 0xC000_0080, 0xC000_0081,
            0xC000_0082, 0xC000_0083, 0xC000_0084, 0xC000_0100, 0xC000_0101, 0xC000_0102, 0xC000_0103, 0xDA0,
        ];
        for (int i = 0; i < count; i++)
        {
            uint msr = _random.Next(8) switch
            {
                0 or 1 => 0x800 + (uint)_random.Next(0x40),
                2 => 0x4000_0000 + (uint)_random.Next(0x3),
                3 => 0x4000_0010 + (uint)_random.Next(0x70),
                4 => 0x4000_0080 + (uint)_random.Next(0x40),
                5 => 0x4000_0100 + (uint)_random.Next(0x10),
                6 => msrs[_random.Next(msrs.Length)],
                _ => (uint)_random.Next(0x1000),
            };
            if (Rarely(2000))
            {
                msr = 0x4000_0003;
            }

            ulong value = Rarely(3) ? Value() : Rarely(2) ? AnyPage() | (uint)_random.Next(2) : (ulong)_random.Next(0x20000);
            if (msr is 0x830 or 0x4000_0071 or 0x4000_0105 && !Rarely(100))
            {
                // INIT would end this VP, and a crash report the VM: as interrupt commands, fixed ones.
                value = (uint)_random.Next(32, 256) | ((uint)_random.Next(4) << 18);
                Add(FuzzOperation.WriteMsr, msr == 0x4000_0105 ? 0x4000_0070 : msr, 0, value);
                continue;
            }

            // The loop lives in long mode with this EFER.
            bool isWritten = !Rarely(4) && msr is not (0xC000_0080 or 0xC000_0100 or 0xC000_0101);
            Add(isWritten ? FuzzOperation.WriteMsr : FuzzOperation.ReadMsr, msr, 0, value, Rarely(3) ? 0xFFFFu : 0);
        }
    }

    private void Timers()
    {
        for (uint timer = 0; timer < 4; timer++)
        {
            // Enable, periodic, lazy, auto-enable, APIC vector, direct mode, SINT.
            ulong config = (uint)_random.Next(16) | ((uint)_random.Next(32, 256) << 4) | ((uint)_random.Next(2) << 12) | ((uint)_random.Next(16) << 16);
            Msr(0x4000_00B0 + (timer * 2), config, Rarely(4) ? ulong.MaxValue : 0);
            Msr(0x4000_00B1 + (timer * 2), (ulong)_random.Next(1, 100_000), Rarely(4) ? ulong.MaxValue : 0xFF);
        }

        // APIC timer: mode, divisor, count; then the deadline.
        Add(FuzzOperation.Write32, 0xFEE0_0320, 0, (uint)_random.Next(32, 256) | ((uint)_random.Next(4) << 17));
        Add(FuzzOperation.Write32, 0xFEE0_03E0, 0, 0, 0xB);
        Add(FuzzOperation.Write32, 0xFEE0_0380, 0, 0, (ulong)_random.Next() & 0xFFFFF);
        Msr(0x6E0, Value(), Rarely(2) ? ulong.MaxValue : 0);
        for (int i = 0; i < 10; i++)
        {
            Add(FuzzOperation.EnableInterrupts);
            Add(FuzzOperation.Wait, c: 200);
        }

        if (!Rarely(4))
        {
            // Or nothing but interrupts happens.
            for (uint timer = 0; timer < 4; timer++)
            {
                Msr(0x4000_00B0 + (timer * 2), 0);
            }
        }
    }

    private void Overlays()
    {
        Msr(0x4000_0000, 0x8100_0000_0001_0000);
        for (int i = 0; i < 12; i++)
        {
            uint msr = _random.Next(5) switch { 0 => 0x4000_0001u, 1 => 0x4000_0021u, 2 => 0x4000_0073u, 3 => 0x4000_0082u, _ => 0x4000_0083u };
            ulong page = AnyPage();
            Msr(msr, page | 1, Rarely(4) ? 0xFFFUL : 0);
            Add(FuzzOperation.Write64, page + (ulong)_random.Next(4096), 0, Value());
            Add(FuzzOperation.Read64, page + (ulong)_random.Next(4096));
            Add(FuzzOperation.LockedAdd, page, 0xFFF, Value());
            if (msr == 0x4000_0001)
            {
                Add(FuzzOperation.Execute, Rarely(4) ? page : 0);
            }
        }
    }

    private void GarbagePageTables(int count)
    {
        for (int i = 0; i < count; i++)
        {
            ulong entry = FuzzProgram.ArenaGpa + ((ulong)_random.Next(FuzzProgram.PageTablePages) << 12) + ((ulong)_random.Next(8) << 3);
            ulong target = _random.Next(4) switch
            {
                0 => Value(),
                1 => AnyPage() | 0xE7,
                _ => (FuzzProgram.ArenaGpa + ((ulong)_random.Next(FuzzProgram.PageTablePages) << 12)) | 7,
            };
            Add(FuzzOperation.Write64, entry, 0, target, Rarely(8) ? ulong.MaxValue : 0);
            ulong address = ((ulong)_random.Next(1, 5) << 39) + ((ulong)_random.Next(8) << 30) + ((ulong)_random.Next(8) << 21)
                + (ulong)_random.Next(0x8000);
            var operation = _random.Next(5) switch
            {
                0 => FuzzOperation.LockedAdd,
                1 => FuzzOperation.LockedExchange16,
                2 when Rarely(10) => FuzzOperation.Execute,
                3 => FuzzOperation.InvalidatePage,
                _ => (FuzzOperation)_random.Next((int)FuzzOperation.Read8, (int)FuzzOperation.Write64 + 1),
            };
            Add(operation, address, Rarely(8) ? ulong.MaxValue : 0x1FFF, Value());
            if (Rarely(4))
            {
                Add(FuzzOperation.ReloadCr3);
            }
        }
    }

    private void RestartSecondProcessor()
    {
        // Sometimes at a page of garbage, in real mode; at last at the program again.
        for (int i = Rarely(3) ? 2 : 1; i > 0; i--)
        {
            ulong page = i == 2 ? 0x1_0000UL : FuzzProgram.TrampolineGpa;
            if (i == 2)
            {
                byte[] garbage = new byte[4096];
                _random.NextBytes(garbage);
                Copy(page, garbage);
            }
            else
            {
                Add(FuzzOperation.Copy, page, c: FuzzProgram.TrampolineCopyGpa, d: 0x100);
            }

            Add(FuzzOperation.Write32, 0xFEE0_0310, 0, 1 << 24);
            Add(FuzzOperation.Write32, 0xFEE0_0300, 0, 0x4500);
            Add(FuzzOperation.Write32, 0xFEE0_0310, 0, 1 << 24);
            Add(FuzzOperation.Write32, 0xFEE0_0300, 0, 0x4600 | (page >> 12));
            Add(FuzzOperation.Wait, c: 3000);
        }
    }

    /// <summary>Some random instructions that end: whole pages of zeros take a VP long to get through.</summary>
    private void ExecuteGarbage()
    {
        if (Rarely(20))
        {
            Add(FuzzOperation.Halt);
            return;
        }

        byte[] code = new byte[64];
        _random.NextBytes(code);
        code.AsSpan(_random.Next(8, 63)).Fill(0xC3);
        ulong page = ArenaPage();
        Copy(page, code);
        Add(FuzzOperation.Execute, page);
    }

    private void Miscellaneous(int count)
    {
        for (int i = 0; i < count; i++)
        {
            switch (_random.Next(7))
            {
                case 0: Add(FuzzOperation.Cpuid, 0x4000_0000, 0xF, 0, 7); break;
                case 1: Add(FuzzOperation.Cpuid, 0, 0x8000_001F, 0, 0xF); break;
                case 2: Add(FuzzOperation.WriteCr8, 0, Rarely(4) ? ulong.MaxValue : 0xF); break;
                case 3: Add(FuzzOperation.EnableInterrupts); break;
                case 4: Add(FuzzOperation.InvalidatePage, 0, ulong.MaxValue); break;
                case 5: Add(FuzzOperation.LockedAdd, ArenaPage() + 0xFFC, 0xFFF, Value()); break;
                default: ExecuteGarbage(); break;
            }
        }
    }
}
