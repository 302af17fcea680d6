// The machine's memory map as INT 15h, E820h reports it (ACPI 6.4, 15.1), in Hyper-V's shape.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Boot;

/// <summary>E820 types.</summary>
public enum MemoryMapType
{
    Ram = 1,
    Reserved = 2,
    AcpiReclaim = 3,
    AcpiNvs = 4,
}

/// <summary>One range.</summary>
public readonly record struct MemoryMapEntry(ulong Gpa, ulong Bytes, MemoryMapType Type);

/// <summary>Builds the map from the size of RAM.</summary>
public static class BootMemoryMap
{
    private const ulong MiB = 1 << 20;

    public static IReadOnlyList<MemoryMapEntry> Build(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ulong low = UsableLowRamEnd(memory);
        ulong nvs = memory.LowRamBytes - PlatformLayout.AcpiNvsBytes;
        List<MemoryMapEntry> map =
        [
            new(0, PlatformLayout.EbdaGpa, MemoryMapType.Ram),
            new(PlatformLayout.EbdaGpa, PlatformLayout.VgaGpa - PlatformLayout.EbdaGpa, MemoryMapType.Reserved),
            new(PlatformLayout.BiosGpa, PlatformLayout.BiosBytes, MemoryMapType.Reserved),
            new(MiB, low - MiB, MemoryMapType.Ram),
            new(low, nvs - low, MemoryMapType.AcpiReclaim),
            new(nvs, PlatformLayout.AcpiNvsBytes, MemoryMapType.AcpiNvs),
        ];
        if (memory.HighRamBytes != 0)
        {
            map.Add(new(GuestMemory.HighRamBase, memory.HighRamBytes, MemoryMapType.Ram));
        }

        return map;
    }

    /// <summary>End of the RAM below 4 GiB that an operating system may use.</summary>
    public static ulong UsableLowRamEnd(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        return memory.LowRamBytes >= 2 * MiB
            ? memory.LowRamBytes - PlatformLayout.AcpiBytes
            : throw new BootException("memory is too small: the platform needs at least 2 MiB");
    }
}
