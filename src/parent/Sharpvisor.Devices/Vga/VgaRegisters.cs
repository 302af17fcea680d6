// The registers of a VGA adapter: miscellaneous, sequencer, graphics controller, CRT controller, attribute controller, DAC (IBM PS/2 Hardware Interface
// Technical Reference, "Video Subsystem"; Linux's include/video/vga.h has the same names).
namespace Sharpvisor.Devices.Vga;

/// <summary>Register state and the ports' semantics. Not thread-safe: the adapter locks.</summary>
internal sealed class VgaRegisters
{
    public const ushort FirstPort = 0x3B0;
    public const int PortCount = 0x30;

    private const byte ColourAddressing = 1;

    private readonly byte[] _dac = new byte[256 * 3];
    private byte _sequencerIndex;
    private byte _graphicsIndex;
    private byte _crtIndex;
    private byte _attributeIndex;
    private bool _attributeDataNext;
    private byte _dacMask;
    private byte _feature;
    private int _dacReadAt;
    private int _dacWriteAt;
    private bool _dacReads;
    private byte _retrace;

    public byte Miscellaneous { get; private set; }

    public byte[] Sequencer { get; } = new byte[8];

    public byte[] Graphics { get; } = new byte[16];

    public byte[] Crt { get; } = new byte[32];

    public byte[] Attribute { get; } = new byte[32];

    /// <summary>Bit 5 of the attribute controller's index: the palette is in use, and the screen on.</summary>
    public bool IsScreenOn => (_attributeIndex & 0x20) != 0 && (Sequencer[1] & 0x20) == 0;

    /// <summary>Vertical display enable end, whose bits 8 and 9 are in the overflow register.</summary>
    public int DisplayedLines => (Crt[0x12] | ((Crt[7] & 2) << 7) | ((Crt[7] & 0x40) << 3)) + 1;

    /// <summary>As a BIOS's mode 3 leaves them: 80 by 25 characters of 8 by 16 pixels.</summary>
    public void SetTextMode()
    {
        Array.Clear(Sequencer);
        Array.Clear(Graphics);
        Array.Clear(Crt);
        Array.Clear(Attribute);
        Miscellaneous = 0x63;
        ReadOnlySpan<byte> sequencer = [0x03, 0x01, 0x03, 0x00, 0x02];
        ReadOnlySpan<byte> graphics = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF];
        ReadOnlySpan<byte> crt =
        [
            0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00,
            0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF,
        ];
        ReadOnlySpan<byte> attribute =
        [
            0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x0C, 0x00, 0x0F, 0x00, 0x00,
        ];
        sequencer.CopyTo(Sequencer);
        graphics.CopyTo(Graphics);
        crt.CopyTo(Crt);
        attribute.CopyTo(Attribute);
        _attributeIndex = 0x20;
        _attributeDataNext = false;
        _dacMask = 0xFF;
        for (int i = 0; i < 64; i++)
        {
            // An EGA colour is rgbRGB: two thirds for a capital, one third for a small letter.
            for (int c = 0; c < 3; c++)
            {
                _dac[(3 * i) + c] = (byte)((((i >> (2 - c)) & 1) * 0x2A) + (((i >> (5 - c)) & 1) * 0x15));
            }
        }
    }

    /// <summary>The colour of one of the attribute controller's 16, as 0x00RRGGBB.</summary>
    public uint Colour(int attribute)
    {
        int index = Attribute[attribute & 0xF] & 0x3F;
        // Mode control, bit 7: bits 4 and 5 come from the colour select register too.
        index = (Attribute[0x10] & 0x80) != 0
            ? (index & 0x0F) | ((Attribute[0x14] & 0xF) << 4)
            : index | ((Attribute[0x14] & 0xC) << 4);
        return DacColour((byte)index);
    }

    /// <summary>The DAC's colour of a pixel, as 0x00RRGGBB.</summary>
    public uint DacColour(byte pixel)
    {
        int at = (pixel & _dacMask) * 3;
        return (Widen(_dac[at]) << 16) | (Widen(_dac[at + 1]) << 8) | Widen(_dac[at + 2]);
    }

    public byte Read(ushort port)
    {
        if (IsOtherCrt(port))
        {
            return 0xFF;
        }

        switch (port)
        {
            case 0x3C0:
                return _attributeDataNext ? Attribute[_attributeIndex & 0x1F] : _attributeIndex;
            case 0x3C1:
                return Attribute[_attributeIndex & 0x1F];
            case 0x3C2:
                // Input status 0, switch sense: a colour display.
                return 0x10;
            case 0x3C4:
                return _sequencerIndex;
            case 0x3C5:
                return Sequencer[_sequencerIndex & 7];
            case 0x3C6:
                return _dacMask;
            case 0x3C7:
                return _dacReads ? (byte)3 : (byte)0;
            case 0x3C8:
                return (byte)(_dacWriteAt / 3);
            case 0x3C9:
                byte value = _dac[_dacReadAt];
                _dacReadAt = (_dacReadAt + 1) % _dac.Length;
                return value;
            case 0x3CA:
                return _feature;
            case 0x3CC:
                return Miscellaneous;
            case 0x3CE:
                return _graphicsIndex;
            case 0x3CF:
                return Graphics[_graphicsIndex & 0xF];
            case 0x3B4 or 0x3D4:
                return _crtIndex;
            case 0x3B5 or 0x3D5:
                return Crt[_crtIndex & 0x1F];
            case 0x3BA or 0x3DA:
                // Reading it makes the next write to 0x3C0 an index. Retrace and display enable change from read to read: guests wait for edges.
                _attributeDataNext = false;
                _retrace ^= 0x09;
                return _retrace;
            default:
                return 0xFF;
        }
    }

    public void Write(ushort port, byte value)
    {
        if (IsOtherCrt(port))
        {
            return;
        }

        switch (port)
        {
            case 0x3C0:
                WriteAttribute(value);
                break;
            case 0x3C2:
                Miscellaneous = value;
                break;
            case 0x3C4:
                _sequencerIndex = value;
                break;
            case 0x3C5:
                Sequencer[_sequencerIndex & 7] = value;
                break;
            case 0x3C6:
                _dacMask = value;
                break;
            case 0x3C7:
                _dacReadAt = value * 3;
                _dacReads = true;
                break;
            case 0x3C8:
                _dacWriteAt = value * 3;
                _dacReads = false;
                break;
            case 0x3C9:
                _dac[_dacWriteAt] = (byte)(value & 0x3F);
                _dacWriteAt = (_dacWriteAt + 1) % _dac.Length;
                break;
            case 0x3CE:
                _graphicsIndex = value;
                break;
            case 0x3CF:
                Graphics[_graphicsIndex & 0xF] = value;
                break;
            case 0x3B4 or 0x3D4:
                _crtIndex = value;
                break;
            case 0x3B5 or 0x3D5:
                WriteCrt(_crtIndex & 0x1F, value);
                break;
            case 0x3BA or 0x3DA:
                _feature = value;
                break;
            default:
                break;
        }
    }

    private void WriteAttribute(byte value)
    {
        if (!_attributeDataNext)
        {
            _attributeIndex = value;
        }
        else if ((_attributeIndex & 0x1F) < 0x15)
        {
            Attribute[_attributeIndex & 0x1F] = value;
        }

        _attributeDataNext = !_attributeDataNext;
    }

    private void WriteCrt(int index, byte value)
    {
        // Vertical retrace end, bit 7, protects 0 to 7, but for line compare's bit in the overflow register.
        if ((Crt[0x11] & 0x80) != 0 && index <= 7)
        {
            if (index == 7)
            {
                Crt[7] = (byte)((Crt[7] & ~0x10) | (value & 0x10));
            }

            return;
        }

        Crt[index] = value;
    }

    // Miscellaneous output, bit 0: the CRT controller is at 0x3Dx or at 0x3Bx.
    private bool IsOtherCrt(ushort port) => (port & 0xFFF0) == ((Miscellaneous & ColourAddressing) != 0 ? 0x3B0 : 0x3D0);

    private static uint Widen(byte six) => (uint)((six << 2) | (six >> 4));
}
