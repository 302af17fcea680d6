// A real TAP interface, where the test may make one.
using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace Sharpvisor.Network.Tests;

public sealed class TapTests
{
    [Fact]
    public void The_host_answers_through_a_TAP_interface()
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"svt{Environment.ProcessId}");
        TapPort port;
        try
        {
            port = new TapPort(name);
        }
        catch (NetworkException e)
        {
            Assert.Skip(e.Message);
            return;
        }

        using (port)
        {
            using var card = new TestCard();
            port.Connect(card);
            if (!TryRun("ip", "addr", "add", "198.51.100.1/24", "dev", name) || !TryRun("ip", "link", "set", name, "up"))
            {
                Assert.Skip("the host has no ip(8) that may configure interfaces");
            }

            // RFC 826: who has 198.51.100.1? Tell 198.51.100.2.
            byte[] sender = [0x02, 0, 0, 0, 0, 2];
            port.Send(
                [.. Frames.Broadcast, .. sender, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, .. sender, 198, 51, 100, 2, 0, 0, 0, 0, 0, 0, 198, 51, 100, 1],
                default);

            byte[] reply = card.Take(f => f[12] == 8 && f[13] == 6 && f[21] == 2);
            Assert.Equal([198, 51, 100, 1], reply[28..32]);
        }
    }

    [Fact]
    public void A_name_that_no_interface_can_have_is_refused() =>
        Assert.Contains("sixteen-or-more-", Assert.Throws<NetworkException>(() => new TapPort("sixteen-or-more-")).Message, StringComparison.Ordinal);

    private static bool TryRun(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(program, arguments);
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
