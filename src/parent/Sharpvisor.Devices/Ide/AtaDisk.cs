// An ATA hard disk: the commands of ATA/ATAPI-7 volume 1 that its IDENTIFY data admits to, over any IDisk.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Ide;

/// <summary>A hard disk on an IDE channel.</summary>
internal sealed partial class AtaDisk : IdeDrive
{
    private const int SectorBytes = 512;
    private const int MaxMultiple = 16;
    private const int BufferSectors = BufferBytes / SectorBytes;

    private readonly IDisk _disk;
    private readonly ulong _sectors;

    // Cached, so that a request allocates nothing.
    private readonly Action<DiskStatus> _pioReadDone;
    private readonly Action<DiskStatus> _pioWriteDone;
    private readonly Action<DiskStatus> _dmaReadDone;
    private readonly Action<DiskStatus> _dmaWriteDone;
    private readonly Action<DiskStatus> _flushDone;
    private readonly SegmentList _pioSegments = new();

    private byte _multiple;
    private byte _transferMode = 0x42;
    private bool _writeCache = true;
    private ushort _cylinders;
    private byte _heads = 16;
    private byte _sectorsPerTrack = 63;

    // The command under way: what is left of it, what of that is in the buffer, and the size of its DRQ blocks.
    private ulong _lba;
    private uint _left;
    private int _buffered;
    private int _blockSectors;
    private bool _isWrite;
    private int _blockStart;

    public AtaDisk(IdeChannel channel, int index, IDisk disk)
        : base(channel, index)
    {
        _disk = disk;
        _sectors = (ulong)(disk.Bytes / SectorBytes);
        _cylinders = (ushort)Math.Min(_sectors / (16 * 63), 16383);
        _pioReadDone = PioReadDone;
        _pioWriteDone = PioWriteDone;
        _dmaReadDone = DmaReadDone;
        _dmaWriteDone = DmaWriteDone;
        _flushDone = FlushDone;
    }

    protected override ushort Signature => 0;

    public override void Execute(byte command)
    {
        switch (command)
        {
            case AtaCommand.ReadSectors or AtaCommand.ReadSectorsNoRetry or AtaCommand.ReadSectorsExt:
                StartPio(command == AtaCommand.ReadSectorsExt, isWrite: false, blockSectors: 1);
                break;
            case AtaCommand.WriteSectors or AtaCommand.WriteSectorsNoRetry or AtaCommand.WriteSectorsExt:
                StartPio(command == AtaCommand.WriteSectorsExt, isWrite: true, blockSectors: 1);
                break;
            case AtaCommand.ReadMultiple or AtaCommand.ReadMultipleExt:
                StartPio(command == AtaCommand.ReadMultipleExt, isWrite: false, _multiple);
                break;
            case AtaCommand.WriteMultiple or AtaCommand.WriteMultipleExt:
                StartPio(command == AtaCommand.WriteMultipleExt, isWrite: true, _multiple);
                break;
            case AtaCommand.ReadDma or AtaCommand.ReadDmaNoRetry or AtaCommand.ReadDmaExt:
                PrepareDma(command == AtaCommand.ReadDmaExt, isWrite: false);
                break;
            case AtaCommand.WriteDma or AtaCommand.WriteDmaNoRetry or AtaCommand.WriteDmaExt:
                PrepareDma(command == AtaCommand.WriteDmaExt, isWrite: true);
                break;
            case AtaCommand.FlushCache or AtaCommand.FlushCacheExt:
                Flush();
                break;
            case AtaCommand.Identify:
                WriteIdentity(Buffer);
                _buffered = 0;
                _left = 0;
                _isWrite = false;
                BeginBlock(0, SectorBytes, isIn: true, interrupt: true);
                break;
            default:
                ExecuteNoData(command);
                break;
        }
    }

    public override void StartDma()
    {
        DmaStarted();
        long bytes = (long)_left * SectorBytes;
        if (!Channel.BusMaster.TryMap(bytes, Segments, Regions))
        {
            Fail(AtaError.Abort);
        }
        else if (Segments.Bytes < bytes)
        {
            // The descriptors end before the command does.
            EndDmaInError(AtaError.Abort);
        }
        else if (_isWrite)
        {
            Continue(_disk.WriteAsync((long)_lba * SectorBytes, Segments), _dmaWriteDone);
        }
        else
        {
            Continue(_disk.ReadAsync((long)_lba * SectorBytes, Segments), _dmaReadDone);
        }
    }

    protected override void OnReset()
    {
        _left = 0;
        _buffered = 0;
        _multiple = 0;
        _heads = 16;
        _sectorsPerTrack = 63;
        _cylinders = (ushort)Math.Min(_sectors / (16 * 63), 16383);
    }

    protected override void BlockDone()
    {
        if (_isWrite)
        {
            WriteBlockDone();
        }
        else
        {
            ReadBlockDone();
        }
    }

    // Latches address and count; false when the command has failed.
    private bool TryBegin(bool isExt, bool isWrite)
    {
        _isWrite = isWrite;
        ref IdeTaskFile registers = ref TaskFile;
        _left = isExt ? registers.Count : (byte)registers.Count;
        if (_left == 0)
        {
            _left = isExt ? 65536u : 256u;
        }

        if (!TryGetAddress(isExt, out _lba) || _lba >= _sectors || _left > _sectors - _lba)
        {
            Fail(AtaError.IdNotFound);
            return false;
        }

        if (isWrite && _disk.IsReadOnly)
        {
            Fail(AtaError.Abort);
            return false;
        }

        return true;
    }

    private bool TryGetAddress(bool isExt, out ulong lba)
    {
        ref IdeTaskFile registers = ref TaskFile;
        if (registers.UsesLba || isExt)
        {
            lba = isExt ? registers.Lba48 : registers.Lba28;
            return true;
        }

        // ATA/ATAPI-5 6.2.1: sectors of a track count from 1.
        uint sector = (byte)registers.LbaLow;
        uint head = (uint)registers.Device & 15;
        uint cylinder = ((uint)(byte)registers.LbaHigh << 8) | (byte)registers.LbaMid;
        lba = (((ulong)cylinder * _heads) + head) * _sectorsPerTrack + sector - 1;
        return sector >= 1 && sector <= _sectorsPerTrack && head < _heads;
    }

    private void StartPio(bool isExt, bool isWrite, int blockSectors)
    {
        if (blockSectors == 0)
        {
            // READ or WRITE MULTIPLE without SET MULTIPLE MODE.
            Fail(AtaError.Abort);
            return;
        }

        _blockSectors = blockSectors;
        if (!TryBegin(isExt, isWrite))
        {
            return;
        }

        if (isWrite)
        {
            OfferWriteChunk(interrupt: false);
        }
        else
        {
            ReadChunk();
        }
    }

    private void ReadChunk()
    {
        Busy();
        _buffered = (int)Math.Min(_left, BufferSectors);
        _pioSegments.Clear();
        _pioSegments.Add(Buffer.AsMemory(0, _buffered * SectorBytes));
        Continue(_disk.ReadAsync((long)_lba * SectorBytes, _pioSegments), _pioReadDone);
    }

    private void PioReadDone(DiskStatus status)
    {
        if (status != DiskStatus.Success)
        {
            FailIo(status);
            return;
        }

        Channel.BytesRead.Add((long)_buffered * SectorBytes);
        _blockStart = 0;
        OfferReadBlock();
    }

    private void OfferReadBlock()
    {
        int sectors = Math.Min(_blockSectors, _buffered - _blockStart);
        BeginBlock(_blockStart * SectorBytes, sectors * SectorBytes, isIn: true, interrupt: true);
        _blockStart += sectors;
    }

    private void ReadBlockDone()
    {
        if (_blockStart < _buffered)
        {
            OfferReadBlock();
            return;
        }

        _lba += (uint)_buffered;
        _left -= (uint)_buffered;
        _buffered = 0;
        if (_left > 0)
        {
            ReadChunk();
        }
        else
        {
            // ATA/ATAPI-7 volume 2, PIO data-in protocol: no interrupt after the last block was read.
            Done(interrupt: false);
        }
    }

    private void OfferWriteChunk(bool interrupt)
    {
        _buffered = (int)Math.Min(_left, BufferSectors);
        _blockStart = 0;
        OfferWriteBlock(interrupt);
    }

    private void OfferWriteBlock(bool interrupt)
    {
        int sectors = Math.Min(_blockSectors, _buffered - _blockStart);
        BeginBlock(_blockStart * SectorBytes, sectors * SectorBytes, isIn: false, interrupt);
        _blockStart += sectors;
    }

    private void WriteBlockDone()
    {
        if (_blockStart < _buffered)
        {
            OfferWriteBlock(interrupt: true);
            return;
        }

        Busy();
        _pioSegments.Clear();
        _pioSegments.Add(Buffer.AsMemory(0, _buffered * SectorBytes));
        Continue(_disk.WriteAsync((long)_lba * SectorBytes, _pioSegments), _pioWriteDone);
    }

    private void PioWriteDone(DiskStatus status)
    {
        if (status != DiskStatus.Success)
        {
            FailIo(status);
            return;
        }

        Channel.BytesWritten.Add((long)_buffered * SectorBytes);
        _lba += (uint)_buffered;
        _left -= (uint)_buffered;
        _buffered = 0;
        if (_left > 0)
        {
            OfferWriteChunk(interrupt: true);
        }
        else
        {
            FinishWrite();
        }
    }

    private void PrepareDma(bool isExt, bool isWrite)
    {
        if (TryBegin(isExt, isWrite))
        {
            WaitForDma();
        }
    }

    private void DmaReadDone(DiskStatus status)
    {
        long bytes = Segments.Bytes;
        Segments.Clear();
        Channel.BusMaster.Finish(Regions);
        if (status != DiskStatus.Success)
        {
            FailIo(status);
            return;
        }

        Channel.BytesRead.Add(bytes);
        Done();
    }

    private void DmaWriteDone(DiskStatus status)
    {
        long bytes = Segments.Bytes;
        Segments.Clear();
        Channel.BusMaster.Finish(Regions);
        if (status != DiskStatus.Success)
        {
            FailIo(status);
            return;
        }

        Channel.BytesWritten.Add(bytes);
        FinishWrite();
    }

    private void FinishWrite()
    {
        if (_writeCache)
        {
            Done();
        }
        else
        {
            Flush();
        }
    }

    private void Flush()
    {
        Busy();
        Channel.Flushes.Increment();
        Continue(_disk.FlushAsync(), _flushDone);
    }

    private void FlushDone(DiskStatus status)
    {
        if (status == DiskStatus.Success)
        {
            Done();
        }
        else
        {
            Fail(AtaError.Abort);
        }
    }

    private void EndDmaInError(byte error)
    {
        Segments.Clear();
        Channel.BusMaster.Finish(Regions, isError: true);
        Fail(error);
    }

    private void FailIo(DiskStatus status) => Fail(status switch
    {
        DiskStatus.OutOfRange => AtaError.IdNotFound,
        DiskStatus.WriteProtected => AtaError.Abort,
        // drivers/ata/libata-eh.c takes UNC for a medium error, of writes too, and passes it up without endless retries.
        _ => AtaError.Uncorrectable,
    });
}
