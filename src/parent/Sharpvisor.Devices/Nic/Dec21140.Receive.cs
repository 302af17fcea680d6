// The receive process (21140A HRM, 4.3.6): filters frames and stores them into the descriptors' buffers. Without a descriptor the
// frame stays with the port, where a real chip would lose it.
using Sharpvisor.Core;
using static Sharpvisor.Devices.Nic.Dec21140Registers;

namespace Sharpvisor.Devices.Nic;

public sealed partial class Dec21140
{
    private const int ChecksumBytes = 4;
    private const int MinimumWireBytes = 60;
    private const int MaximumWireBytes = 1518 - ChecksumBytes;

    // What a descriptor's length can say; the watchdog cuts longer frames off on a wire.
    private const int MaximumStoredBytes = 2048 - ChecksumBytes;

    // A ring whose buffers are so small that a frame takes more descriptors than this is no ring of a driver's.
    private const int MaximumDescriptors = 64;

    private readonly byte[] _complete = new byte[FrameCompletion.MaximumFrameBytes];
    private readonly byte[] _padded = new byte[MaximumStoredBytes + ChecksumBytes];
    private readonly (uint Address, uint Status)[] _stored = new (uint Address, uint Status)[MaximumDescriptors];
    private uint _receiveDescriptor;
    private bool _receiveSuspended;
    private bool _refused;
    private uint _missed;

    private enum Stored
    {
        /// <summary>In memory, or not for this card.</summary>
        Done,
        NoRoom,
    }

    /// <inheritdoc/>
    public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (frame.Length < MinimumFrameBytes)
        {
            return true;
        }

        lock (_lock)
        {
            if (_paused)
            {
                return false;
            }

            if (offload == default)
            {
                return Accept(frame);
            }

            // The chip has no offloads. Pieces after the first are lost where there is no room for them.
            int position = 0;
            bool first = true;
            while (FrameCompletion.Next(frame, offload, ref position, _complete) is > 0 and int bytes)
            {
                if (first && !Accept(_complete.AsSpan(0, bytes)))
                {
                    return false;
                }

                if (!first && Store(_complete.AsSpan(0, bytes)) == Stored.NoRoom)
                {
                    Miss();
                }

                first = false;
            }

            return true;
        }
    }

    private bool Accept(ReadOnlySpan<byte> frame)
    {
        _refused = Store(frame) == Stored.NoRoom;
        if (_refused)
        {
            // The transmitter looks for room now and then.
            _ = _work.Set();
        }

        return !_refused;
    }

    private void ResumeReceive() => _receiveSuspended = false;

    private void Miss()
    {
        // CSR8: 16 bits, and one that says they overflowed.
        _missed = (_missed & 0xFFFF) == 0xFFFF ? 0x1_FFFF : _missed + 1;
        _counters.Missed.Increment();
    }

    // Called under the lock wherever a driver shows that it was at work.
    private bool HasRoomAgain()
    {
        if (!_refused)
        {
            return false;
        }

        if (ReceiveStarted && _memory.TryRead(_receiveDescriptor, out uint status) && (status & Owned) == 0)
        {
            return false;
        }

        _refused = false;
        return true;
    }

    private Stored Store(ReadOnlySpan<byte> frame)
    {
        if (!ReceiveStarted || !BusMasterEnabled || !IsForUs(frame) || frame.Length > MaximumStoredBytes)
        {
            return Stored.Done;
        }

        // The wire's minimum, and an FCS, whose value no driver can use.
        int padded = Math.Max(frame.Length, MinimumWireBytes);
        frame.CopyTo(_padded);
        _padded.AsSpan(frame.Length, padded - frame.Length + ChecksumBytes).Clear();
        return StoreWhole(_padded.AsSpan(0, padded + ChecksumBytes));
    }

    // Either all descriptors of a frame are there or none is used.
    private Stored StoreWhole(ReadOnlySpan<byte> frame)
    {
        uint next = _receiveDescriptor;
        ReadOnlySpan<byte> rest = frame;
        int count = 0;
        while (rest.Length > 0)
        {
            if (!_memory.TryRead(next, out Descriptor descriptor))
            {
                FailBus();
                return Stored.Done;
            }

            if ((descriptor.Status & Owned) == 0 || count == MaximumDescriptors)
            {
                _receiveSuspended = true;
                Raise(ReceiveUnavailable);
                return Stored.NoRoom;
            }

            _stored[count] = (next, count == 0 ? ReceiveFirst : 0);
            count++;
            int size1 = (int)(descriptor.Control & SizeMask);
            int size2 = (descriptor.Control & Chained) != 0 ? 0 : (int)(descriptor.Control >> Size2Shift & SizeMask);
            if (!TryScatter(descriptor.Buffer1, size1, ref rest) || !TryScatter(descriptor.Buffer2, size2, ref rest))
            {
                FailBus();
                return Stored.Done;
            }

            next = NextDescriptor(next, descriptor.Control, descriptor.Buffer2, _registers[3]);
        }

        Release(frame, count);
        _receiveDescriptor = next;
        _receiveSuspended = false;
        _counters.ReceivedFrames.Increment();
        _counters.ReceivedBytes.Add(frame.Length - ChecksumBytes);
        Raise(ReceiveInterrupt);
        return Stored.Done;
    }

    private bool TryScatter(uint address, int size, ref ReadOnlySpan<byte> rest)
    {
        int bytes = Math.Min(size, rest.Length);
        bool written = _memory.TryWrite(address, rest[..bytes]);
        rest = rest[bytes..];
        return written;
    }

    // The last descriptor first: a driver that sees the first one sees them all.
    private void Release(ReadOnlySpan<byte> frame, int count)
    {
        uint last = ReceiveLast
            | ((uint)frame.Length << ReceiveLengthShift)
            | ((frame[0] & 1) != 0 ? ReceiveMulticast : 0)
            | (frame.Length - ChecksumBytes > MaximumWireBytes ? ReceiveTooLong : 0)
            | ((frame[12] << 8 | frame[13]) > 1500 ? ReceiveEthernetType : 0);
        for (int i = count - 1; i >= 0; i--)
        {
            uint status = _stored[i].Status | (i == count - 1 ? last : 0);
            _ = _memory.TryWrite(_stored[i].Address, status);
        }
    }

    private bool IsForUs(ReadOnlySpan<byte> frame)
    {
        uint mode = _registers[6];
        return (mode & (Promiscuous | ReceiveAll)) != 0
            || ((mode & PassAllMulticast) != 0 && (frame[0] & 1) != 0)
            || _filter.Accepts(frame);
    }
}
