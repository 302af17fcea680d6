// One channel's half of the bus master function ("Programming Interface for Bus Master IDE Controller" 1.0): command,
// status, and the physical region descriptor (PRD) table in guest memory.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Ide;

/// <summary>Walks PRD tables into scatter/gather lists. Every member is called with the channel's lock held.</summary>
internal sealed class IdeBusMaster(IdeChannel channel, GuestMemory memory)
{
    private const byte Start = 0x01;
    private const byte CommandMask = 0x09;
    private const byte Active = 0x01;
    private const byte DmaError = 0x02;
    private const byte InterruptStatus = 0x04;
    private const byte DriveCapable = 0x60;
    private const ulong EndOfTable = 1UL << 63;

    // 2.1: the table lies within 64 KiB and entries have 8 bytes, so a longer one cannot be meant.
    private const int MaxEntries = 8192;
    private const int EntryBytes = 8;

    private byte _command;
    private byte _status;
    private uint _table;

    public byte ReadRegister(int register) => register switch
    {
        0 => _command,
        2 => _status,
        >= 4 => (byte)(_table >> (8 * (register - 4))),
        _ => 0,
    };

    public void WriteRegister(int register, byte value)
    {
        switch (register)
        {
            case 0:
                bool starts = (value & ~_command & Start) != 0;
                _command = (byte)(value & CommandMask);
                if (starts)
                {
                    _status |= Active;
                    TryStart();
                }
                else if ((_command & Start) == 0)
                {
                    _status &= unchecked((byte)~Active);
                }

                break;
            case 2:
                // Error and interrupt are cleared by ones; the drive capable bits are the guest's to keep.
                _status = (byte)((_status & ~(value & (DmaError | InterruptStatus)) & ~DriveCapable) | (value & DriveCapable));
                break;
            case >= 4:
                int shift = 8 * (register - 4);
                _table = ((_table & ~(0xFFu << shift)) | ((uint)value << shift)) & ~3u;
                break;
            default:
                break;
        }
    }

    public void Reset()
    {
        _command = 0;
        _status = 0;
        _table = 0;
    }

    public void NoteInterrupt() => _status |= InterruptStatus;

    /// <summary>Runs the waiting command once the guest has started the bus master, whichever came first.</summary>
    public void TryStart()
    {
        if ((_command & Start) != 0 && channel.DmaDrive is { WantsDma: true } drive)
        {
            drive.StartDma();
        }
    }

    /// <summary>
    /// Collects the next <paramref name="bytes"/> bytes of guest memory the PRD table names; fewer when it ends before.
    /// False, and the error bit set, when the table or a region is not in RAM.
    /// </summary>
    public bool TryMap(long bytes, SegmentList segments, List<(ulong Gpa, int Bytes)> regions)
    {
        segments.Clear();
        regions.Clear();
        ulong entryGpa = _table;
        for (int i = 0; i < MaxEntries && segments.Bytes < bytes; i++, entryGpa += EntryBytes)
        {
            if (!memory.TryRead(entryGpa, out ulong entry))
            {
                return Refuse(segments, regions);
            }

            ulong gpa = entry & 0xFFFF_FFFE;
            int length = (int)(entry >> 32) & 0xFFFE;
            // 2.1: a count of 0 is 64 KiB.
            length = (int)Math.Min(length == 0 ? 0x10000 : length, bytes - segments.Bytes);
            if (!TryAdd(gpa, length, segments, regions))
            {
                return Refuse(segments, regions);
            }

            if ((entry & EndOfTable) != 0)
            {
                break;
            }
        }

        return true;
    }

    /// <summary>Ends a transfer; engines learn which memory may have been written.</summary>
    public void Finish(List<(ulong Gpa, int Bytes)> regions, bool isError = false)
    {
        foreach ((ulong gpa, int bytes) in regions)
        {
            memory.NotifyWrite(gpa, (ulong)bytes);
        }

        regions.Clear();
        _status = (byte)((_status & ~Active) | (isError ? DmaError : 0));
    }

    private bool TryAdd(ulong gpa, int length, SegmentList segments, List<(ulong Gpa, int Bytes)> regions)
    {
        if (memory.TryGetMemory(gpa, length, out Memory<byte> whole))
        {
            segments.Add(whole);
            regions.Add((gpa, length));
            return true;
        }

        // RAM comes in blocks; a region that crosses from one to the next is mapped page by page.
        while (length > 0)
        {
            int bytes = Math.Min(length, GuestMemory.PageBytes - (int)(gpa % GuestMemory.PageBytes));
            if (!memory.TryGetMemory(gpa, bytes, out Memory<byte> part))
            {
                return false;
            }

            segments.Add(part);
            regions.Add((gpa, bytes));
            gpa += (ulong)bytes;
            length -= bytes;
        }

        return true;
    }

    private bool Refuse(SegmentList segments, List<(ulong Gpa, int Bytes)> regions)
    {
        segments.Clear();
        regions.Clear();
        _status = (byte)((_status & ~Active) | DmaError);
        return false;
    }
}
