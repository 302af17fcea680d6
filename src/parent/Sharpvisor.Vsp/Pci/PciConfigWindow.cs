// The two pages through which a guest reaches configuration space (pci-hyperv.c, "PCI Configuration Space for these root PCI buses"): a
// write to the first chooses the function that the second shows.
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Pci;

internal sealed class PciConfigWindow(IPciEndpoint function) : IMmioDevice
{
    public const int Bytes = 0x2000;

    private const int PageOffset = 0x1000;
    private uint _slot;

    public ulong ReadMmio(ulong offset, int bytes)
    {
        ulong nothing = ulong.MaxValue >> (64 - (bytes * 8));
        if (offset < PageOffset)
        {
            return offset == 0 ? _slot & nothing : 0;
        }

        if (Volatile.Read(ref _slot) != 0)
        {
            return nothing;
        }

        int at = (int)offset - PageOffset;
        return bytes == 8
            ? function.ReadConfig(at, 4) | ((ulong)function.ReadConfig(at + 4, 4) << 32)
            : function.ReadConfig(at, bytes);
    }

    public void WriteMmio(ulong offset, int bytes, ulong value)
    {
        if (offset == 0)
        {
            Volatile.Write(ref _slot, (uint)value);
        }
        else if (offset >= PageOffset && Volatile.Read(ref _slot) == 0)
        {
            int at = (int)offset - PageOffset;
            function.WriteConfig(at, Math.Min(bytes, 4), (uint)value);
            if (bytes == 8)
            {
                function.WriteConfig(at + 4, 4, (uint)(value >> 32));
            }
        }
    }
}
