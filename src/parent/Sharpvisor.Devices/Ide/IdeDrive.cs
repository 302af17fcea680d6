// What ATA and ATAPI devices share (ATA/ATAPI-7 volume 2): status, the PIO data register's DRQ blocks, interrupts, reset,
// and waiting for a disk without holding up the VP.
using System.Runtime.CompilerServices;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Ide;

/// <summary>One device on an IDE channel. Every member is called with the channel's lock held.</summary>
internal abstract class IdeDrive
{
    /// <summary>Bounds what one PIO command keeps in our memory; longer ones go through it in pieces.</summary>
    protected const int BufferBytes = 128 * 1024;

    private readonly Action _ioCompleted;
    private byte[]? _buffer;
    private int _position;
    private int _blockEnd;
    private bool _blockIsIn;
    private ValueTaskAwaiter<DiskStatus> _io;
    private bool _ioPending;
    private bool _resetPending;
    private Action<DiskStatus>? _next;

    protected IdeDrive(IdeChannel channel, int index)
    {
        Channel = channel;
        Index = index;
        _ioCompleted = IoCompleted;
    }

    /// <summary>0 master, 1 slave.</summary>
    public int Index { get; }

    public byte Status { get; protected set; }

    public byte Error { get; protected set; }

    /// <summary>Whether a command waits for the bus master to start.</summary>
    public bool WantsDma { get; private set; }

    /// <summary>What the guest may still read or write of the DRQ block.</summary>
    public int BlockBytesLeft => (Status & AtaStatus.DataRequest) != 0 ? _blockEnd - _position : 0;

    /// <summary>An ATAPI device: it takes DEVICE RESET at any time (ATA/ATAPI-7 volume 1, 6.10).</summary>
    public bool HasPackets => Signature != 0;

    public bool IsBusy => (Status & AtaStatus.Busy) != 0;

    protected IdeChannel Channel { get; }

    protected byte[] Buffer => _buffer ??= new byte[BufferBytes];

    /// <summary>Scatter/gather list of the DMA under way.</summary>
    protected SegmentList Segments { get; } = new();

    /// <summary>The guest memory of the DMA under way.</summary>
    protected List<(ulong Gpa, int Bytes)> Regions { get; } = [];

    /// <summary>The signature in LBA Mid and High (ATA/ATAPI-7 volume 1, 9.12).</summary>
    protected abstract ushort Signature { get; }

    protected ref IdeTaskFile TaskFile => ref Channel.TaskFile(Index);

    public abstract void Execute(byte command);

    /// <summary>The bus master was started on a command that <see cref="WantsDma"/>.</summary>
    public abstract void StartDma();

    /// <summary>Software or hardware reset: not ready before I/O under way is over, since that goes to or from guest memory.</summary>
    public void Reset()
    {
        _blockEnd = _position = 0;
        WantsDma = false;
        if (_ioPending)
        {
            _resetPending = true;
            Status = AtaStatus.Busy;
            return;
        }

        FinishReset();
    }

    /// <summary>Reads from the data register as far as the DRQ block goes; returns the bytes done.</summary>
    public int ReadData(Span<byte> destination)
    {
        if (BlockBytesLeft == 0 || !_blockIsIn)
        {
            return 0;
        }

        int bytes = Math.Min(destination.Length, _blockEnd - _position);
        Buffer.AsSpan(_position, bytes).CopyTo(destination);
        Advance(bytes);
        return bytes;
    }

    /// <summary>Writes to the data register as far as the DRQ block goes; returns the bytes done.</summary>
    public int WriteData(ReadOnlySpan<byte> source)
    {
        if (BlockBytesLeft == 0 || _blockIsIn)
        {
            return 0;
        }

        int bytes = Math.Min(source.Length, _blockEnd - _position);
        source[..bytes].CopyTo(Buffer.AsSpan(_position));
        Advance(bytes);
        return bytes;
    }

    /// <summary>Puts the signature into the task file, as resets and refused IDENTIFYs do.</summary>
    protected void WriteSignature()
    {
        ref IdeTaskFile registers = ref TaskFile;
        registers.Count = 1;
        registers.LbaLow = 1;
        registers.LbaMid = (byte)Signature;
        registers.LbaHigh = (byte)(Signature >> 8);
        registers.Device &= 0x10;
        registers.Device |= 0xA0;
    }

    /// <summary>Device specific part of a reset.</summary>
    protected virtual void OnReset()
    {
    }

    /// <summary>The guest emptied or filled the DRQ block.</summary>
    protected abstract void BlockDone();

    /// <summary>Offers a DRQ block of the buffer to the guest.</summary>
    protected void BeginBlock(int start, int bytes, bool isIn, bool interrupt)
    {
        _position = start;
        _blockEnd = start + bytes;
        _blockIsIn = isIn;
        Status = AtaStatus.Ready | AtaStatus.SeekComplete | AtaStatus.DataRequest;
        if (interrupt)
        {
            Channel.Interrupt();
        }
    }

    protected void Busy() => Status = AtaStatus.Ready | AtaStatus.Busy;

    protected void WaitForDma()
    {
        _blockEnd = _position = 0;
        WantsDma = true;
        Status = AtaStatus.Ready | AtaStatus.SeekComplete | AtaStatus.DataRequest;
        Channel.DmaWanted(this);
    }

    /// <summary>Called by <see cref="StartDma"/> implementations first.</summary>
    protected void DmaStarted()
    {
        WantsDma = false;
        Busy();
    }

    /// <summary>Ends a command in success.</summary>
    protected void Done(bool interrupt = true)
    {
        _blockEnd = _position = 0;
        Error = 0;
        Status = AtaStatus.Ready | AtaStatus.SeekComplete;
        if (interrupt)
        {
            Channel.Interrupt();
        }
    }

    /// <summary>Ends a command in error.</summary>
    protected void Fail(byte error)
    {
        _blockEnd = _position = 0;
        WantsDma = false;
        Error = error;
        Status = AtaStatus.Ready | AtaStatus.SeekComplete | AtaStatus.Error;
        Channel.Errors.Increment();
        Channel.Interrupt();
    }

    /// <summary>Goes on with <paramref name="next"/> under the channel's lock when the operation ends, unless a reset came between.</summary>
    protected void Continue(ValueTask<DiskStatus> operation, Action<DiskStatus> next)
    {
        if (operation.IsCompleted)
        {
            next(operation.Result);
            return;
        }

        _ioPending = true;
        _next = next;
        _io = operation.GetAwaiter();
        _io.UnsafeOnCompleted(_ioCompleted);
    }

    private void IoCompleted()
    {
        lock (Channel.Lock)
        {
            _ioPending = false;
            DiskStatus status = _io.GetResult();
            if (_resetPending)
            {
                _resetPending = false;
                if (Regions.Count > 0)
                {
                    Channel.BusMaster.Finish(Regions);
                }

                FinishReset();
                return;
            }

            _next!(status);
        }
    }

    private void Advance(int bytes)
    {
        _position += bytes;
        if (_position >= _blockEnd)
        {
            BlockDone();
        }
    }

    private void FinishReset()
    {
        Segments.Clear();
        OnReset();
        WriteSignature();
        // Diagnostic code: device passed.
        Error = 1;
        Status = Signature == 0 ? (byte)(AtaStatus.Ready | AtaStatus.SeekComplete) : (byte)0;
    }
}
