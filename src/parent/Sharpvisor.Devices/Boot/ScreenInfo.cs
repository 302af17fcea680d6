// boot_params.screen_info: what a boot loader tells Linux about the screen (include/uapi/linux/screen_info.h).
using System.Buffers.Binary;
using Sharpvisor.Devices.Vga;

namespace Sharpvisor.Devices.Boot;

internal static class ScreenInfo
{
    private const byte VgaText = 1;
    private const byte VesaLinear = 0x23;

    /// <summary>Fills the zero page's first bytes.</summary>
    /// <param name="zeroPage">screen_info is at its start.</param>
    /// <param name="adapter">Null: there is no screen.</param>
    public static void Write(Span<byte> zeroPage, VgaAdapter? adapter)
    {
        if (adapter is null)
        {
            return;
        }

        if (adapter.FrameBuffer is not { } buffer)
        {
            // Mode 3 in a VGA with all of its memory: what INT 10h, functions 0Fh and 12h, would say.
            zeroPage[0x06] = 3;
            zeroPage[0x07] = 80;
            zeroPage[0x0A] = 3;
            zeroPage[0x0E] = 25;
            zeroPage[0x0F] = VgaText;
            zeroPage[0x10] = 16;
            return;
        }

        void Put16(Span<byte> page, int offset, int value) => BinaryPrimitives.WriteUInt16LittleEndian(page[offset..], (ushort)value);
        zeroPage[0x0F] = VesaLinear;
        Put16(zeroPage, 0x12, buffer.Width);
        Put16(zeroPage, 0x14, buffer.Height);
        Put16(zeroPage, 0x16, 32);
        BinaryPrimitives.WriteUInt32LittleEndian(zeroPage[0x18..], buffer.Gpa);
        // In units of 64 KiB (drivers/video/fbdev/vesafb.c).
        BinaryPrimitives.WriteInt32LittleEndian(zeroPage[0x1C..], buffer.MemoryBytes >> 16);
        Put16(zeroPage, 0x24, buffer.PitchBytes);
        ReadOnlySpan<byte> fields = [8, 16, 8, 8, 8, 0, 8, 24];
        fields.CopyTo(zeroPage[0x26..]);
        Put16(zeroPage, 0x32, 1);
    }
}
