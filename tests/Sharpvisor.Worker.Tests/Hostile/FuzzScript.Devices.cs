namespace Sharpvisor.Worker.Tests.Hostile;

/// <summary>Ports, PCI, IDE and MMIO.</summary>
internal sealed partial class FuzzScript
{
    private const ushort BusMasterPort = 0xC000;

    // First port and count of what the chipset has. Not: power management's 0x400 block, which is reached through PCI often enough.
    private static readonly (ushort First, int Count)[] s_ports =
    [
        (0x20, 2), (0xA0, 2), (0x4D0, 2), (0x40, 4), (0x61, 1), (0x70, 2), (0x60, 1), (0x3F8, 8), (0x2F8, 8), (0x1F0, 8), (0x170, 8),
        (0x3F6, 1), (0x376, 1), (0xCF8, 8), (BusMasterPort, 16), (0x80, 1), (0x408, 8), (0xB2, 2), (0x510, 12),
        (0x3B0, 0x30),
    ];

    private void RandomPorts(int count)
    {
        for (int i = 0; i < count; i++)
        {
            (ushort first, int ports) = s_ports[_random.Next(s_ports.Length)];
            ulong port = Rarely(20) ? (ulong)_random.Next(0x10000) : first + (ulong)_random.Next(ports);
            if (port is 0x404 or 0x405 or 0x92 or 0xF4 or 0xCF9 && !Rarely(300))
            {
                continue;
            }

            var operation = (FuzzOperation)_random.Next((int)FuzzOperation.In8, (int)FuzzOperation.Out32 + 1);
            Add(operation, port, 0, Value(), Rarely(2) ? 0xFFFF_FFFF : 0);
            if (port == 0x64 && Rarely(2))
            {
                Add(FuzzOperation.Out8, 0x64, 0, (ulong)_random.Next(0xF0));
            }
        }
    }

    private void StringPorts(int count)
    {
        for (int i = 0; i < count; i++)
        {
            (ushort first, int ports) = s_ports[_random.Next(s_ports.Length)];
            ulong port = Rarely(2) ? (Rarely(2) ? 0x1F0UL : 0x170UL) : first + (ulong)_random.Next(ports);
            var operation = (FuzzOperation)_random.Next((int)FuzzOperation.InString8, (int)FuzzOperation.OutString32 + 1);
            ulong address = Rarely(6) ? Value() : AnyPage() + (ulong)_random.Next(4096);
            Add(operation, port, 0, address, 0, (ulong)_random.Next(Rarely(8) ? 70_000 : 600));
        }
    }

    private void PciConfiguration()
    {
        for (int i = 0; i < 12; i++)
        {
            // Devices 0 (host bridge), 7 (PIIX4: ISA, IDE, USB, power management) and 8 (VGA) exist.
            uint device = Rarely(6) ? (uint)_random.Next(32) : Rarely(3) ? 0u : Rarely(4) ? 8u : 7u;
            uint register = Rarely(2) ? (uint)_random.Next(64) * 4 : (uint)_random.Next(1, 16) * 4;
            Add(FuzzOperation.Out32, 0xCF8, 0, 0x8000_0000 | (device << 11) | ((uint)_random.Next(4) << 8) | register);
            ulong port = 0xCFC + (ulong)_random.Next(4);
            Add(Rarely(2) ? FuzzOperation.In32 : (FuzzOperation)_random.Next((int)FuzzOperation.Out8, (int)FuzzOperation.Out32 + 1), port, 0, Value(), 0xFFFF_FFFF);
        }

        PlaceBusMaster();
    }

    /// <summary>Puts the bus master's registers back where the script expects them, and switches everything of IDE on.</summary>
    private void PlaceBusMaster()
    {
        foreach ((uint register, uint value) in ((uint, uint)[])[(0x20, BusMasterPort | 1), (0x04, 5), (0x40, 0x8000_8000)])
        {
            Add(FuzzOperation.Out32, 0xCF8, 0, 0x8000_3900 | register);
            Add(FuzzOperation.Out32, 0xCFC, 0, value);
        }
    }

    private void IdeCommand()
    {
        byte[] commands =
        [
            0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xEC, 0xA1, 0xA0, 0xA0, 0xA0, 0xEF, 0xE7, 0xEA,
            0xF8, 0x27, 0xB0, 0x06, 0x08, 0x90, 0x91, 0x40, 0x42, 0xE0, 0xE5, 0x10, 0x70, 0x2F, 0x3F,
        ];
        if (Rarely(4))
        {
            PlaceBusMaster();
        }

        ushort channel = (ushort)(Rarely(2) ? 0x1F0 : 0x170);
        ulong busMaster = BusMasterPort + (channel == 0x1F0 ? 0u : 8u);
        ulong table = Rarely(10) ? Value() & 0xFFFF_FFFC : ArenaPage() + ((ulong)_random.Next(1024) << 2);
        for (uint i = 0; i < 8; i++)
        {
            ulong count = Rarely(2) ? (ulong)_random.Next(0x10000) : 512u * (ulong)_random.Next(1, 17);
            Add(FuzzOperation.Write64, table + (i * 8), 0, (AnyPage() & 0xFFFF_FFFF) | (count << 32) | (i == 7 || Rarely(8) ? 1UL << 63 : 0), Rarely(10) ? ulong.MaxValue : 0);
        }

        Add(FuzzOperation.Out32, busMaster + 4, 0, table);
        Add(FuzzOperation.Out8, channel + 6u, 0, 0xE0 | ((ulong)_random.Next(2) << 4), Rarely(8) ? 0xFFUL : 0);
        bool isLarge = Rarely(3);
        for (uint round = 0; round < (isLarge ? 2 : 1); round++)
        {
            Add(FuzzOperation.Out8, channel + 1u, 0, (ulong)_random.Next(256));
            Add(FuzzOperation.Out8, channel + 2u, 0, (ulong)_random.Next(Rarely(3) ? 256 : 9));
            Add(FuzzOperation.Out8, channel + 3u, 0, 0, 0xFF);
            Add(FuzzOperation.Out8, channel + 4u, 0, 0, Rarely(3) ? 0xFFUL : 0x0F);
            Add(FuzzOperation.Out8, channel + 5u, 0, 0, Rarely(3) ? 0xFFUL : 0);
        }

        byte command = Rarely(10) ? (byte)_random.Next(256) : commands[_random.Next(commands.Length)];
        Add(FuzzOperation.Out8, channel + 7u, 0, command);
        if (Rarely(2))
        {
            Add(FuzzOperation.Out8, busMaster, 0, Rarely(2) ? 9u : 1u);
        }

        if (command == 0xA0)
        {
            Packet(channel);
        }

        for (int i = _random.Next(4); i >= 0; i--)
        {
            Add(FuzzOperation.Wait, c: (ulong)_random.Next(2, 800));
            Add(FuzzOperation.In8, channel + 7u);
            Add(Rarely(2) ? FuzzOperation.InString16 : FuzzOperation.OutString16, channel, 0, ArenaPage(), 0, 256);
        }

        if (Rarely(3))
        {
            // Software reset, stop of the bus master, another command: in the middle of it.
            Add(FuzzOperation.Out8, channel + 0x206u, 0, (ulong)_random.Next(8));
            Add(FuzzOperation.Out8, busMaster, 0, (ulong)_random.Next(10));
            Add(FuzzOperation.Out8, channel + 7u, 0, commands[_random.Next(commands.Length)]);
        }

        Add(FuzzOperation.Out8, busMaster + 2, 0, 6);
    }

    private void Packet(ushort channel)
    {
        Add(FuzzOperation.Wait, c: 100);
        Add(FuzzOperation.OutString16, channel, 0, Blob(Cdb()), 0, 6);
    }

    private void RandomMmio(int count)
    {
        for (int i = 0; i < count; i++)
        {
            ulong address = _random.Next(9) switch
            {
                0 or 1 => 0xFEC0_0000,
                2 => 0xFEC0_0010,
                3 or 4 => 0xFEE0_0000 + ((ulong)_random.Next(0x40) << 4),
                5 => 0xF_E000_0000 + (ulong)_random.Next(0x2000_0000),
                6 => 0xF800_0000 + (ulong)_random.Next(0x06C0_0000),
                7 => 0xA_0000 + (ulong)_random.Next(0x2_0000),
                _ => AnyPage() + (ulong)_random.Next(4096),
            };
            if (address == 0xFEC0_0000)
            {
                // A redirection entry and its value.
                Add(FuzzOperation.Write32, address, 0, (ulong)_random.Next(0x48));
                Add(FuzzOperation.Write32, 0xFEC0_0010, 0, Value(), 0xFFFF_FFFF);
                continue;
            }

            if (address is 0xFEE0_0300 && !Rarely(20))
            {
                // INIT would end this VP; interrupts to anybody are fine.
                Add(FuzzOperation.Write32, address, 0, (uint)_random.Next(32, 256) | ((uint)_random.Next(4) << 18));
                continue;
            }

            var operation = (FuzzOperation)_random.Next((int)FuzzOperation.Read8, (int)FuzzOperation.Write64 + 1);
            Add(operation, address, Rarely(6) ? 7UL : 0, Value(), 0xFFFF_FFFF);
        }
    }
}
