global using Sharpvisor.Core;
