// A VGA adapter's 256 KiB in four planes, and how the processor's accesses to 0xA0000 to 0xBFFFF reach them (IBM PS/2 Hardware Interface Technical
// Reference, "Video Subsystem": "Video Memory Organization", "Video Memory Read/Write Operations").
namespace Sharpvisor.Devices.Vga;

/// <summary>Not thread-safe: the adapter locks.</summary>
internal sealed class VgaMemory(VgaRegisters registers)
{
    private const int PlaneBytes = 0x1_0000;

    private readonly byte[][] _planes = [new byte[PlaneBytes], new byte[PlaneBytes], new byte[PlaneBytes], new byte[PlaneBytes]];
    private readonly byte[] _latches = new byte[4];

    public byte[] Characters => _planes[0];

    public byte[] Attributes => _planes[1];

    /// <summary>Where character generators are in text modes.</summary>
    public byte[] Fonts => _planes[2];

    private bool IsChained4 => (registers.Sequencer[4] & 8) != 0;

    private bool IsOddEven => (registers.Sequencer[4] & 4) == 0;

    public ReadOnlySpan<byte> Plane(int plane) => _planes[plane];

    public void Clear()
    {
        foreach (byte[] plane in _planes)
        {
            Array.Clear(plane);
        }
    }

    /// <param name="offset">From 0xA0000.</param>
    public byte Read(int offset)
    {
        if (!TryWindow(ref offset))
        {
            return 0xFF;
        }

        if (IsChained4)
        {
            return _planes[offset & 3][offset & ~3];
        }

        int readMap = registers.Graphics[4] & 3;
        if (IsOddEven)
        {
            return _planes[(readMap & 2) | (offset & 1)][offset >> 1];
        }

        for (int plane = 0; plane < 4; plane++)
        {
            _latches[plane] = _planes[plane][offset];
        }

        return (registers.Graphics[5] & 8) == 0 ? _latches[readMap] : Compare();
    }

    /// <param name="offset">From 0xA0000.</param>
    public void Write(int offset, byte value)
    {
        if (!TryWindow(ref offset))
        {
            return;
        }

        int mask = registers.Sequencer[2];
        if (IsChained4)
        {
            Store(offset & 3, offset & ~3, value, mask);
        }
        else if (IsOddEven)
        {
            Store(offset & 1, offset >> 1, value, mask);
        }
        else
        {
            for (int plane = 0; plane < 4; plane++)
            {
                Store(plane, offset, Combine(plane, value), mask);
            }
        }
    }

    private void Store(int plane, int at, byte value, int mask)
    {
        if ((mask & (1 << plane)) != 0)
        {
            _planes[plane][at] = value;
        }
    }

    /// <summary>Graphics controller, miscellaneous: which part of the 128 KiB is decoded.</summary>
    private bool TryWindow(ref int offset)
    {
        switch ((registers.Graphics[6] >> 2) & 3)
        {
            case 0:
                offset &= PlaneBytes - 1;
                return true;
            case 1:
                return offset < 0x1_0000;
            case 2:
                offset -= 0x1_0000;
                return (uint)offset < 0x8000;
            default:
                offset -= 0x1_8000;
                return (uint)offset < 0x8000;
        }
    }

    /// <summary>Write modes 0 to 3, for one plane.</summary>
    private byte Combine(int plane, byte value)
    {
        byte[] graphics = registers.Graphics;
        int mode = graphics[5] & 3;
        if (mode == 1)
        {
            return _latches[plane];
        }

        int bitMask = graphics[8];
        int rotate = graphics[3] & 7;
        int rotated = ((value >> rotate) | (value << (8 - rotate))) & 0xFF;
        int setReset = (graphics[0] & (1 << plane)) != 0 ? 0xFF : 0;
        int data;
        switch (mode)
        {
            case 0:
                data = (graphics[1] & (1 << plane)) != 0 ? setReset : rotated;
                break;
            case 2:
                data = (value & (1 << plane)) != 0 ? 0xFF : 0;
                break;
            default:
                bitMask &= rotated;
                data = setReset;
                break;
        }

        int latch = _latches[plane];
        data = (graphics[3] >> 3 & 3) switch
        {
            1 => data & latch,
            2 => data | latch,
            3 => data ^ latch,
            _ => data,
        };
        return (byte)((data & bitMask) | (latch & ~bitMask));
    }

    /// <summary>Read mode 1: a bit is set where the planes that are looked at hold the compared colour.</summary>
    private byte Compare()
    {
        int same = 0xFF;
        for (int plane = 0; plane < 4; plane++)
        {
            if ((registers.Graphics[7] & (1 << plane)) != 0)
            {
                int wanted = (registers.Graphics[2] & (1 << plane)) != 0 ? 0xFF : 0;
                same &= ~(_latches[plane] ^ wanted);
            }
        }

        return (byte)same;
    }
}
