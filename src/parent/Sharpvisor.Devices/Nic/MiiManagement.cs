// The two wires of MII management (IEEE 802.3, 22.2.4), bit-banged through CSR9<19:16>, and one transceiver on them whose link is up
// at 100 Mb/s, full duplex.
namespace Sharpvisor.Devices.Nic;

internal sealed class MiiManagement(int phyAddress)
{
    private const uint Clock = 1 << 16;
    private const uint DataOut = 1 << 17;
    private const uint ReadMode = 1 << 18;
    private const uint DataIn = 1 << 19;

    // After the start's two bits: operation 2, PHY 5, register 5; then turnaround 2 and data 16.
    private const int HeaderBits = 12;
    private const int FrameBits = HeaderBits + 2 + 16;
    private const int Idle = -2;
    private const int Started = -1;
    private const int ReadOperation = 2;
    private const int WriteOperation = 1;

    private const int Control = 0;
    private const int Status = 1;
    private const int Advertisement = 4;
    private const ushort ControlReset = 0x8000;
    private const ushort ControlRestart = 0x0200;
    private const ushort ControlDefault = 0x3000;

    // Clause 22 registers: abilities and link, an identifier (a National DP83840A's), what is advertised and what the partner can.
    private const ushort StatusValue = 0x782D;
    private const ushort Identifier1 = 0x2000;
    private const ushort Identifier2 = 0x5C01;
    private const ushort AdvertisementDefault = 0x01E1;
    private const ushort Partner = 0x45E1;
    private const ushort Expansion = 0x0001;

    private uint _pins;
    private int _bits = Idle;
    private uint _frame; // the bits since the start, the latest lowest
    private ushort _shift;
    private bool _output = true;
    private bool _answering;
    private ushort _control = ControlDefault;
    private ushort _advertisement = AdvertisementDefault;

    /// <summary>CSR9&lt;19:16&gt; as the guest reads them.</summary>
    public uint Pins => (_pins & ~DataIn) | (_output ? DataIn : 0);

    public void Reset()
    {
        (_bits, _output, _answering, _pins) = (Idle, true, false, 0);
        (_control, _advertisement) = (ControlDefault, AdvertisementDefault);
    }

    public void Write(uint pins)
    {
        bool rising = (pins & Clock) != 0 && (_pins & Clock) == 0;
        _pins = pins & (Clock | DataOut | ReadMode);
        if (rising)
        {
            // While the controller does not drive the line, it floats high.
            Step((pins & ReadMode) != 0 || (pins & DataOut) != 0);
        }
    }

    private void Step(bool data)
    {
        switch (_bits)
        {
            case Idle:
                _bits = data ? Idle : Started;
                return;
            case Started:
                // Start is 01; a second zero is none.
                _bits = data ? 0 : Idle;
                _frame = 0;
                return;
        }

        _bits++;
        if (_answering)
        {
            Answer();
        }
        else
        {
            _frame = (_frame << 1) | (data ? 1u : 0);
            if (_bits == HeaderBits && IsOurs && (_frame >> 10) == ReadOperation)
            {
                _answering = true;
                _shift = Read((int)(_frame & 0x1F));
            }
        }

        if (_bits == FrameBits)
        {
            if (!_answering)
            {
                Finish();
            }

            (_bits, _answering, _output) = (Idle, false, true);
        }
    }

    private bool IsOurs => (_frame >> 5 & 0x1F) == (uint)phyAddress;

    // The second turnaround bit is a zero of the PHY; then data, the highest bit first.
    private void Answer()
    {
        if (_bits == HeaderBits + 1)
        {
            _output = false;
            return;
        }

        _output = (_shift & 0x8000) != 0;
        _shift <<= 1;
    }

    private void Finish()
    {
        uint header = _frame >> (FrameBits - HeaderBits);
        if ((header >> 5 & 0x1F) == (uint)phyAddress && header >> 10 == WriteOperation)
        {
            WriteRegister((int)(header & 0x1F), (ushort)_frame);
        }
    }

    private ushort Read(int register) => register switch
    {
        Control => _control,
        Status => StatusValue,
        2 => Identifier1,
        3 => Identifier2,
        Advertisement => _advertisement,
        5 => Partner,
        6 => Expansion,
        _ => 0,
    };

    private void WriteRegister(int register, ushort value)
    {
        if (register == Control)
        {
            // Reset and restart are over at once.
            _control = (value & ControlReset) != 0 ? ControlDefault : (ushort)(value & ~ControlRestart);
        }
        else if (register == Advertisement)
        {
            _advertisement = value;
        }
    }
}
