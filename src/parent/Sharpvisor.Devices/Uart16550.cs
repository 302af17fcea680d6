// A 16550A UART (National Semiconductor PC16550D datasheet). The far end is a stream sink and an input queue on the host;
// the line is infinitely fast, so the transmitter is always empty, as Linux's 8250 driver expects of virtual ports.
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>One serial port: eight I/O ports and an interrupt.</summary>
public sealed class Uart16550 : IStringPortDevice
{
    private const byte IerReceive = 1;
    private const byte IerTransmit = 2;
    private const byte IerLineStatus = 4;
    private const byte IerModemStatus = 8;
    private const byte LcrDlab = 0x80;
    private const byte McrOut2 = 8;
    private const byte McrLoop = 0x10;
    private const byte LsrDataReady = 1;
    private const byte LsrOverrun = 2;
    private const byte LsrTransmitterEmpty = 0x60;
    private const byte IirNone = 1;
    private const byte IirFifos = 0xC0;
    private const int FifoBytes = 16;

    private readonly ushort _base;
    private readonly SerialOutput _output;
    private readonly IInterruptLine _interrupt;
    private readonly Lock _lock = new();
    private readonly byte[] _fifo = new byte[FifoBytes];
    private readonly Queue<byte> _input = new();
    private int _fifoHead;
    private int _fifoCount;
    private byte _ier;
    private byte _fcr;
    private byte _lcr;
    private byte _mcr;
    private byte _lsrErrors;
    private byte _modemDelta;
    private byte _scratch;
    private ushort _divisor = 12;
    private bool _transmitInterrupt;
    private bool _receiveTimeout;
    private bool _drained;

    /// <param name="bus">Where the eight ports go.</param>
    /// <param name="firstPort">0x3F8 for COM1, 0x2F8 for COM2.</param>
    /// <param name="interrupt">IRQ 4 or 3.</param>
    /// <param name="output">Receives what the guest sends; null discards it.</param>
    public Uart16550(IDeviceBus bus, ushort firstPort, IInterruptLine interrupt, Stream? output)
    {
        ArgumentNullException.ThrowIfNull(bus);
        _base = firstPort;
        _interrupt = interrupt;
        _output = new SerialOutput(output);
        bus.MapPorts(firstPort, 8, this);
    }

    /// <summary>Bytes the guest has not yet taken, beyond the FIFO: the source should pause when this grows.</summary>
    public int QueuedInputBytes
    {
        get
        {
            lock (_lock)
            {
                return _input.Count;
            }
        }
    }

    /// <summary>Raised, on a VP thread, when the input queue ran empty: a paused source may go on.</summary>
    public event Action? InputDrained;

    /// <summary>Queues bytes from the host; they enter the FIFO as the guest reads. Any thread.</summary>
    public void Receive(ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            foreach (byte b in bytes)
            {
                _input.Enqueue(b);
            }

            Refill();
            // The source knows what went straight through.
            _drained = false;
            UpdateInterrupt();
        }
    }

    /// <summary>Writes what is batched through to the output stream; call before the VM ends.</summary>
    public void Flush() => _output.Flush();

    /// <summary>Discards output from now on, so that no VP stays waiting for a host that does not read.</summary>
    public void CutOutput() => _output.Cut();

    public void Reset()
    {
        lock (_lock)
        {
            _ier = _fcr = _lcr = _mcr = _lsrErrors = _modemDelta = _scratch = 0;
            _divisor = 12;
            _fifoCount = 0;
            _transmitInterrupt = false;
            _receiveTimeout = false;
            UpdateInterrupt();
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        bool drained;
        uint value = 0;
        lock (_lock)
        {
            for (int i = 0; i < bytes; i++)
            {
                value |= (uint)ReadRegister(port - _base + i) << (8 * i);
            }

            UpdateInterrupt();
            drained = TakeDrained();
        }

        if (drained)
        {
            InputDrained?.Invoke();
        }

        return value;
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        bool drained;
        lock (_lock)
        {
            for (int i = 0; i < bytes; i++)
            {
                WriteRegister(port - _base + i, (byte)(value >> (8 * i)));
            }

            UpdateInterrupt();
            // Clearing the FIFO makes room for what waits.
            drained = TakeDrained();
        }

        if (drained)
        {
            InputDrained?.Invoke();
        }
    }

    /// <inheritdoc/>
    public int ReadPortString(ushort port, int bytes, Span<byte> destination) => 0;

    /// <inheritdoc/>
    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source)
    {
        lock (_lock)
        {
            if (port != _base || bytes != 1 || (_lcr & LcrDlab) != 0 || (_mcr & McrLoop) != 0)
            {
                return 0;
            }

            _output.Write(source);
            _transmitInterrupt = true;
            UpdateInterrupt();
            return source.Length;
        }
    }

    private byte ReadRegister(int register)
    {
        bool dlab = (_lcr & LcrDlab) != 0;
        switch (register)
        {
            case 0:
                return dlab ? (byte)_divisor : TakeReceived();
            case 1:
                return dlab ? (byte)(_divisor >> 8) : _ier;
            case 2:
                return ReadInterruptIdentification();
            case 3:
                return _lcr;
            case 4:
                return _mcr;
            case 5:
                byte lsr = LineStatus();
                _lsrErrors = 0;
                return lsr;
            case 6:
                byte msr = (byte)(ModemLines() | _modemDelta);
                _modemDelta = 0;
                return msr;
            case 7:
                return _scratch;
            default:
                return 0xFF;
        }
    }

    private void WriteRegister(int register, byte value)
    {
        bool dlab = (_lcr & LcrDlab) != 0;
        switch (register)
        {
            case 0 when dlab:
                _divisor = (ushort)((_divisor & 0xFF00) | value);
                break;
            case 0:
                Transmit(value);
                break;
            case 1 when dlab:
                _divisor = (ushort)((_divisor & 0x00FF) | (value << 8));
                break;
            case 1:
                // Enabling THRE with an empty transmitter interrupts at once: 8250_port.c's autoconfig relies on it.
                _transmitInterrupt |= (value & IerTransmit) != 0 && (_ier & IerTransmit) == 0;
                _ier = (byte)(value & 0x0F);
                break;
            case 2:
                WriteFifoControl(value);
                break;
            case 3:
                _lcr = value;
                break;
            case 4:
                WriteModemControl((byte)(value & 0x1F));
                break;
            case 7:
                _scratch = value;
                break;
            default:
                // LSR and MSR are read-only here.
                break;
        }
    }

    private void Transmit(byte value)
    {
        if ((_mcr & McrLoop) != 0)
        {
            if (_fifoCount >= Capacity)
            {
                _lsrErrors |= LsrOverrun;
            }
            else
            {
                PushFifo(value);
            }
        }
        else
        {
            _output.Write(value);
        }

        _transmitInterrupt = true;
    }

    private byte TakeReceived()
    {
        if (_fifoCount == 0)
        {
            return 0;
        }

        byte value = _fifo[_fifoHead];
        _fifoHead = (_fifoHead + 1) % FifoBytes;
        _fifoCount--;
        Refill();
        _receiveTimeout = _fifoCount > 0;
        return value;
    }

    /// <summary>Moves input into the FIFO while there is room: with a queue behind it, it never overruns.</summary>
    private void Refill()
    {
        if ((_mcr & McrLoop) != 0)
        {
            return;
        }

        while (_fifoCount < Capacity && _input.TryDequeue(out byte value))
        {
            PushFifo(value);
            _drained |= _input.Count == 0;
        }
    }

    private bool TakeDrained()
    {
        bool drained = _drained;
        _drained = false;
        return drained;
    }

    private int Capacity => (_fcr & 1) != 0 ? FifoBytes : 1;

    private void PushFifo(byte value)
    {
        _fifo[(_fifoHead + _fifoCount) % FifoBytes] = value;
        _fifoCount++;
        // The line is silent right after: below the trigger level, the character timeout reports what is there.
        _receiveTimeout = true;
    }

    private void WriteFifoControl(byte value)
    {
        if (((value ^ _fcr) & 1) != 0 || (value & 2) != 0)
        {
            _fifoCount = 0;
            _receiveTimeout = false;
        }

        if ((value & 4) != 0)
        {
            _transmitInterrupt = true;
        }

        _fcr = (byte)((value & 1) != 0 ? value & 0xC9 : 0);
        Refill();
    }

    private void WriteModemControl(byte value)
    {
        byte before = ModemLines();
        bool wasLoop = (_mcr & McrLoop) != 0;
        _mcr = value;
        byte after = ModemLines();
        int changed = before ^ after;
        // Bits 0, 1 and 3 are deltas of CTS, DSR and DCD; bit 2 is RI's trailing edge.
        _modemDelta |= (byte)((changed >> 4) & 0x0B);
        if ((before & 0x40) != 0 && (after & 0x40) == 0)
        {
            _modemDelta |= 4;
        }

        if (wasLoop && (value & McrLoop) == 0)
        {
            Refill();
        }
    }

    /// <summary>CTS, DSR, RI, DCD: the far end is always there, except that loopback wires them to MCR.</summary>
    private byte ModemLines()
    {
        if ((_mcr & McrLoop) == 0)
        {
            return 0xB0;
        }

        int rts = (_mcr >> 1) & 1;
        int dtr = _mcr & 1;
        return (byte)((rts << 4) | (dtr << 5) | ((_mcr & 4) << 4) | ((_mcr & 8) << 4));
    }

    private byte LineStatus() =>
        (byte)(LsrTransmitterEmpty | (_fifoCount > 0 ? LsrDataReady : 0) | _lsrErrors);

    private byte ReadInterruptIdentification()
    {
        byte identification = PendingInterrupt();
        if (identification == 2)
        {
            // Reading IIR acknowledges the transmitter's interrupt.
            _transmitInterrupt = false;
        }

        return (byte)(identification | ((_fcr & 1) != 0 ? IirFifos : 0));
    }

    private byte PendingInterrupt()
    {
        if ((_ier & IerLineStatus) != 0 && _lsrErrors != 0)
        {
            return 6;
        }

        if ((_ier & IerReceive) != 0 && _fifoCount > 0)
        {
            if (_fifoCount >= Trigger())
            {
                return 4;
            }

            if (_receiveTimeout)
            {
                return 0x0C;
            }
        }

        if ((_ier & IerTransmit) != 0 && _transmitInterrupt)
        {
            return 2;
        }

        return (_ier & IerModemStatus) != 0 && _modemDelta != 0 ? (byte)0 : IirNone;
    }

    private int Trigger() => (_fcr & 1) == 0 ? 1 : (_fcr >> 6) switch { 0 => 1, 1 => 4, 2 => 8, _ => 14 };

    private void UpdateInterrupt() =>
        // OUT2 gates the interrupt onto the ISA bus; in loopback it is disconnected.
        _interrupt.Set((_mcr & (McrOut2 | McrLoop)) == McrOut2 && PendingInterrupt() != IirNone);
}
