segcam.receive("site", null);
