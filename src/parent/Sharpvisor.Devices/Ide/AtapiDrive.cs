// A packet device (ATA/ATAPI-7 volume 1, 6.24 and volume 2, PACKET command protocols): carries an MMC command set. Data-in
// goes through the data register in pieces of the guest's byte count limit, or by bus master straight into its memory.
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Ide;

/// <summary>A CD/DVD drive on an IDE channel.</summary>
internal sealed class AtapiDrive : IdeDrive
{
    private const int PacketBytes = 12;
    private const int BlockBytes = 2048;
    private const byte RequestSense = 0x03;
    private const byte Read10 = 0x28;
    private const byte Read12 = 0xA8;

    // Interrupt reason register: C/D (a packet, not data) and I/O (to the host).
    private const byte ReasonCommand = 1;
    private const byte ReasonToHost = 2;

    private readonly IScsiTarget _target;
    private readonly ScsiRequest _request = new();
    private readonly Action<DiskStatus> _pioDone;
    private readonly Action<DiskStatus> _dmaDone;
    private readonly byte[] _sense = new byte[ScsiRequest.FixedSenseBytes];
    private readonly byte[] _packet = new byte[PacketBytes];
    private byte _transferMode = 0x42;
    private bool _isPacket;
    private bool _usesDma;
    private int _byteLimit;

    // PIO data phase: what of the response is in the buffer, and what of a long READ is still to come.
    private int _responseBytes;
    private int _responseAt;
    private uint _nextLba;
    private uint _blocksLeft;

    public AtapiDrive(IdeChannel channel, int index, IScsiTarget target)
        : base(channel, index)
    {
        _target = target;
        _pioDone = PioDone;
        _dmaDone = DmaDone;
        ClearSense();
    }

    protected override ushort Signature => 0xEB14;

    public override void Execute(byte command)
    {
        _isPacket = false;
        _responseBytes = 0;
        _blocksLeft = 0;
        switch (command)
        {
            case AtaCommand.Packet:
                BeginPacket();
                break;
            case AtaCommand.IdentifyPacket:
                WriteIdentity(Buffer);
                BeginBlock(0, 512, isIn: true, interrupt: true);
                break;
            case AtaCommand.DeviceReset:
                Reset();
                break;
            case AtaCommand.SetFeatures when (byte)TaskFile.Features is 0x03:
                _transferMode = (byte)TaskFile.Count;
                Done();
                break;
            case AtaCommand.SetFeatures when (byte)TaskFile.Features is 0x66 or 0xCC:
            case AtaCommand.StandbyImmediate or AtaCommand.IdleImmediate or AtaCommand.Standby or AtaCommand.Idle
                or AtaCommand.Sleep or AtaCommand.FlushCache:
                Done();
                break;
            case AtaCommand.CheckPowerMode:
                TaskFile.Count = 0xFF;
                Done();
                break;
            default:
                // ATA/ATAPI-7 6.16, 6.17: READ SECTORS and IDENTIFY DEVICE abort and leave the signature.
                if (command is AtaCommand.Identify or AtaCommand.ReadSectors)
                {
                    WriteSignature();
                }

                Fail(AtaError.Abort);
                break;
        }
    }

    public override void StartDma()
    {
        DmaStarted();
        // The transfer is as long as the command asks; the PRD table bounds it.
        if (!Channel.BusMaster.TryMap(long.MaxValue, _request.Data, Regions))
        {
            FailPacket(SenseKey.AbortedCommand, 0);
            return;
        }

        if (_packet[0] == RequestSense)
        {
            _request.Succeed(_request.Data.CopyFrom(_sense.AsSpan(0, Math.Min(_packet[4], _sense.Length))));
            ClearSense();
            DmaDone(DiskStatus.Success);
            return;
        }

        _packet.CopyTo(_request.Cdb);
        Continue(RunAsync(), _dmaDone);
    }

    protected override void OnReset()
    {
        _isPacket = false;
        _responseBytes = 0;
        _blocksLeft = 0;
        ClearSense();
        _target.Reset();
    }

    protected override void BlockDone()
    {
        if (_isPacket)
        {
            _isPacket = false;
            Buffer.AsSpan(0, PacketBytes).CopyTo(_packet);
            RunPacket();
        }
        else if (_responseAt < _responseBytes)
        {
            OfferResponse();
        }
        else if (_blocksLeft > 0)
        {
            ReadBlocks();
        }
        else if (_responseBytes > 0)
        {
            Complete();
        }
        else
        {
            // IDENTIFY PACKET DEVICE: plain PIO data-in.
            Done(interrupt: false);
        }
    }

    private void BeginPacket()
    {
        ref IdeTaskFile registers = ref TaskFile;
        byte features = (byte)registers.Features;
        if ((features & 0x02) != 0)
        {
            // Overlapped commands.
            Fail(AtaError.Abort);
            return;
        }

        _usesDma = (features & 1) != 0;
        _byteLimit = ((byte)registers.LbaHigh << 8) | (byte)registers.LbaMid;
        _isPacket = true;
        registers.Count = ReasonCommand;
        BeginBlock(0, PacketBytes, isIn: false, interrupt: false);
    }

    private void RunPacket()
    {
        _request.Reset();
        if (_usesDma)
        {
            WaitForDma();
            return;
        }

        if (_packet[0] == RequestSense)
        {
            SendSense();
            return;
        }

        if (_packet[0] is Read10 or Read12)
        {
            _nextLba = BinaryPrimitives.ReadUInt32BigEndian(_packet.AsSpan(2));
            _blocksLeft = _packet[0] == Read10
                ? BinaryPrimitives.ReadUInt16BigEndian(_packet.AsSpan(7))
                : BinaryPrimitives.ReadUInt32BigEndian(_packet.AsSpan(6));
            if (_blocksLeft > 0)
            {
                ReadBlocks();
                return;
            }
        }

        Busy();
        _packet.CopyTo(_request.Cdb);
        _request.Data.Add(Buffer.AsMemory());
        Continue(RunAsync(), _pioDone);
    }

    // A READ longer than the buffer is run as several.
    private void ReadBlocks()
    {
        uint blocks = Math.Min(_blocksLeft, BufferBytes / BlockBytes);
        Busy();
        _request.Reset();
        Span<byte> cdb = _request.Cdb;
        cdb[0] = Read12;
        BinaryPrimitives.WriteUInt32BigEndian(cdb[2..], _nextLba);
        BinaryPrimitives.WriteUInt32BigEndian(cdb[6..], blocks);
        _request.Data.Add(Buffer.AsMemory(0, (int)blocks * BlockBytes));
        _nextLba += blocks;
        _blocksLeft -= blocks;
        Continue(RunAsync(), _pioDone);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<DiskStatus> RunAsync()
    {
        await _target.ExecuteAsync(_request).ConfigureAwait(false);
        return DiskStatus.Success;
    }

    private void PioDone(DiskStatus status)
    {
        if (TryFail())
        {
            return;
        }

        // An odd response is padded: the data register moves words.
        _responseBytes = (_request.TransferredBytes + 1) & ~1;
        _responseAt = 0;
        Channel.BytesRead.Add(_request.TransferredBytes);
        if (_responseBytes == 0)
        {
            Complete();
        }
        else
        {
            OfferResponse();
        }
    }

    private void DmaDone(DiskStatus status)
    {
        Channel.BusMaster.Finish(Regions);
        _request.Data.Clear();
        if (!TryFail())
        {
            Channel.BytesRead.Add(_request.TransferredBytes);
            Complete();
        }
    }

    private void OfferResponse()
    {
        // Volume 2: a limit of FFFFh is FFFEh, and an odd one is for the last piece only. 0 was never allowed; be generous.
        int limit = _byteLimit is 0 or 0xFFFF ? 0xFFFE : _byteLimit;
        int left = _responseBytes - _responseAt;
        int bytes = left <= limit ? left : Math.Max(2, limit & ~1);
        ref IdeTaskFile registers = ref TaskFile;
        registers.Count = ReasonToHost;
        registers.LbaMid = (byte)bytes;
        registers.LbaHigh = (byte)(bytes >> 8);
        int start = _responseAt;
        _responseAt += bytes;
        BeginBlock(start, bytes, isIn: true, interrupt: true);
    }

    // Sense data of an ATAPI device is kept until it is asked for: the transport has no autosense.
    private void SendSense()
    {
        int bytes = Math.Min(_packet[4], _sense.Length);
        _sense.AsSpan(0, bytes).CopyTo(Buffer);
        ClearSense();
        _responseBytes = (bytes + 1) & ~1;
        _responseAt = 0;
        if (_responseBytes == 0)
        {
            Complete();
        }
        else
        {
            OfferResponse();
        }
    }

    private void Complete()
    {
        _responseBytes = 0;
        _blocksLeft = 0;
        TaskFile.Count = ReasonCommand | ReasonToHost;
        Done();
    }

    private bool TryFail()
    {
        if (_request.Status == ScsiStatus.Good)
        {
            return false;
        }

        if (_request.Sense.Length == _sense.Length)
        {
            _request.Sense.CopyTo(_sense);
        }
        else
        {
            ScsiRequest.WriteFixedSense(_sense, SenseKey.AbortedCommand, 0);
        }

        FailWithSense();
        return true;
    }

    private void FailPacket(SenseKey key, ushort asc)
    {
        ScsiRequest.WriteFixedSense(_sense, key, asc);
        FailWithSense();
    }

    private void FailWithSense()
    {
        _responseBytes = 0;
        _blocksLeft = 0;
        _request.Data.Clear();
        TaskFile.Count = ReasonCommand | ReasonToHost;
        byte key = (byte)(_sense[2] & 15);
        // Volume 1, 6.24: sense key in bits 7..4; ABRT with an illegal request.
        Fail((byte)((key << 4) | (key is (byte)SenseKey.IllegalRequest or (byte)SenseKey.AbortedCommand ? AtaError.Abort : 0)));
    }

    private void ClearSense() => ScsiRequest.WriteFixedSense(_sense, SenseKey.NoSense, 0);

    // ATA/ATAPI-7 volume 1, 6.18.
    private void WriteIdentity(Span<byte> data)
    {
        data[..512].Clear();
        // Packet device, CD-ROM, removable, DRQ within 50 us of PACKET, 12-byte packets.
        Word(data, 0, 0x85C0);
        IdeText.Write(data, 10, 10, "SV00000000000000000" + (Index + (2 * Channel.Index)));
        IdeText.Write(data, 23, 4, "1.0");
        IdeText.Write(data, 27, 20, "Virtual CD");
        // LBA, DMA, IORDY.
        Word(data, 49, 0x0B00);
        Word(data, 53, 6);
        Word(data, 63, (ushort)(0x0007 | Selected(0x20)));
        Word(data, 64, 3);
        for (int word = 65; word <= 68; word++)
        {
            Word(data, word, 120);
        }

        Word(data, 80, 0x00F0);
        // NOP is not offered; DEVICE RESET and PACKET are.
        Word(data, 82, 0x0210);
        Word(data, 83, 0x4000);
        Word(data, 84, 0x4000);
        Word(data, 85, 0x0210);
        Word(data, 87, 0x4000);
        Word(data, 88, (ushort)(0x003F | Selected(0x40)));
        Word(data, 93, (ushort)(Index == 0 ? 0x6003 : 0x6300));
        IdeText.Sign(data);
    }

    private ushort Selected(byte family) =>
        (ushort)((_transferMode & 0xF8) == family ? 0x100 << (_transferMode & 7) : 0);

    private static void Word(Span<byte> data, int index, ushort value) =>
        BinaryPrimitives.WriteUInt16LittleEndian(data[(index * 2)..], value);
}
