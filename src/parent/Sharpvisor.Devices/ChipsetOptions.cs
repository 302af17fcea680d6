namespace Sharpvisor.Devices;

/// <summary>What the composition root decides about the board.</summary>
public sealed record ChipsetOptions
{
    /// <summary>VPs; their APIC ids are 0 to this minus 1.</summary>
    public required int Processors { get; init; }

    /// <summary>True: Hyper-V's identity strings, the VMBUS device and WAET. False: no trace of Hyper-V.</summary>
    public required bool Integration { get; init; }

    /// <summary>SMBIOS system UUID.</summary>
    public Guid VmId { get; init; }

    /// <summary>Receives COM1's output byte for byte; null discards it.</summary>
    public Stream? Com1Output { get; init; }

    /// <inheritdoc cref="Com1Output"/>
    public Stream? Com2Output { get; init; }

    /// <summary>The exit port 0xF4 for test guests.</summary>
    public bool DebugExit { get; init; }

    /// <summary>QEMU's configuration device, for multiboot test guests.</summary>
    public bool FwCfg { get; init; }

    /// <summary>The ports and memory of qemu's pc-testdev, for kvm-unit-tests.</summary>
    public bool TestDevices { get; init; }

    /// <summary>The clock behind the RTC.</summary>
    public TimeProvider HostTime { get; init; } = TimeProvider.System;
}
